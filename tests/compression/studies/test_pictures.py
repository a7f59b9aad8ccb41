import pytest
import torch

from compression.studies.pictures import LabelledImages, cropped_and_flipped


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (10, 3, 6, 6), dtype=torch.uint8, generator=generator)
    return LabelledImages(pixels, torch.arange(10), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def test_pixels_are_centred_and_scaled_by_channel(images):
    inputs = images.normalised(images.pixels)
    back = inputs * torch.tensor(images.deviation).view(1, 3, 1, 1)
    back = (back + torch.tensor(images.mean).view(1, 3, 1, 1)) * 255
    assert torch.allclose(back, images.pixels.float(), atol=1e-3)


def test_batches_keep_the_order_and_every_image(images):
    batches = list(images.batches(4))
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    assert torch.equal(torch.cat([labels for _, labels in batches]), images.labels)
    inputs = torch.cat([inputs for inputs, _ in batches])
    assert torch.equal(inputs, images.normalised(images.pixels))


def test_the_parts_of_a_split_are_disjoint_and_whole(images):
    kept, held_out = images.split(3, seed=1)
    assert (len(kept), len(held_out)) == (7, 3)
    assert sorted([*kept.labels.tolist(), *held_out.labels.tolist()]) == list(range(10))
    assert torch.equal(held_out.pixels, images.pixels[held_out.labels])
    assert torch.equal(images.split(3, seed=1)[1].labels, held_out.labels)
    assert not torch.equal(images.split(3, seed=2)[1].labels, held_out.labels)


@pytest.mark.parametrize("number", [0, 10])
def test_a_part_without_images_is_refused(images, number):
    with pytest.raises(ValueError, match="hold out"):
        images.split(number, seed=0)


def test_without_border_a_whole_cut_is_the_image_or_its_mirror(images):
    cut = cropped_and_flipped(images.pixels, 0, 6, torch.Generator().manual_seed(3))
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(cut, images.pixels, strict=True)]
    plain = [torch.equal(a, b) for a, b in zip(cut, images.pixels, strict=True)]
    assert all(m != p for m, p in zip(mirrored, plain, strict=True))
    assert any(mirrored)
    assert any(plain)


def test_a_cut_is_a_window_of_the_reflected_image(images):
    padding, size = 2, 5
    cut = cropped_and_flipped(images.pixels, padding, size, torch.Generator().manual_seed(0))
    bordered = torch.nn.functional.pad(images.pixels.float(), [padding] * 4, mode="reflect")
    places = range(6 + 2 * padding - size + 1)
    for image, source in zip(cut.float(), bordered, strict=True):
        windows = [source[:, y : y + size, x : x + size] for y in places for x in places]
        assert any(torch.equal(image, w) or torch.equal(image, w.flip(-1)) for w in windows)
    assert cut.dtype == torch.uint8
    assert cut.shape == (10, 3, size, size)
