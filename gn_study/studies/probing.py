"""What is compared with the beginning: tangent kernel, representations and weights of a network."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call

from gn_study.kernel import output_kernel
from gn_study.measures.alignment import alignment, velocity
from gn_study.measures.cka import gram, linear_cka
from gn_study.measures.kernel_products import draw_probes, kernel_products
from gn_study.measures.weight_motion import overall_motion, weight_motion
from gn_study.revmlp import RevMLP
from gn_study.studies.configuration import MeasuringOptions
from gn_study.studies.seeds import Seeds, generator
from gn_study.studies.study_data import StudyData


class Probe:
    """Remembers a network as it began, and compares it with what it has become.

    All comparisons use the first samples of the validation part, the same for every optimiser.
    """

    def __init__(
        self, model: RevMLP, data: StudyData, options: MeasuringOptions, seeds: Seeds
    ) -> None:
        """Take the state before training.

        Args:
            model: The network, not yet trained.
            data: Whose validation part gives the probe samples.
            options: How many samples, how often.
            seeds: Of the random probes.
        """
        self._model, self._options = model, options
        self._kernel_inputs = data.validation.first(options.kernel_samples).inputs
        self._representation_inputs = data.validation.first(options.representation_samples).inputs
        self._weights = _copied(model.trained_parameters())
        self._kernel = self._last_kernel = self._products = None
        if options.kernel_samples:
            self._kernel = self._last_kernel = output_kernel(model, self._kernel_inputs)
        if options.kernel_samples and options.estimator_probes:
            with torch.no_grad():
                outputs = model(self._kernel_inputs)
            self._vectors = draw_probes(options.estimator_probes, outputs, generator(seeds.probes))
            self._products = self._kernel_products()
        self._grams = self.grams()

    def compare(self, epoch: int) -> dict[str, float]:
        """Figures of one epoch; those of the kernel only where it is its turn.

        Args:
            epoch: Epochs done.

        Returns:
            `ntk_similarity` to the beginning, `ntk_velocity` since the kernel before,
            `ntk_similarity_estimate`, `cka.N` of block N, `weight_norm_ratio`, `weight_cosine`,
            `weight_relative` overall, and `weight_cosine.NAME` of each weight matrix.
        """
        found = self._compared_weights()
        if self._kernel is not None and epoch % self._options.kernel_every == 0:
            found |= self._compared_kernels()
        if self._grams is not None:
            now = self.grams()
            assert now is not None
            for block, (before, after) in enumerate(zip(self._grams, now, strict=True)):
                found[f"cka.{block}"] = linear_cka(before, after)
        return found

    @torch.no_grad()
    def grams(self) -> Tensor | None:
        """Gram matrix of each block's output, `(num_blocks, num_samples, num_samples)`."""
        if not self._options.representation_samples:
            return None
        states = self._model.states(self._representation_inputs)[1:]
        return torch.stack([gram(state) for state in states])

    def _compared_kernels(self) -> dict[str, float]:
        assert self._kernel is not None and self._last_kernel is not None
        kernel = output_kernel(self._model, self._kernel_inputs)
        found = {
            "ntk_similarity": alignment(self._kernel, kernel),
            "ntk_velocity": velocity(self._last_kernel, kernel),
        }
        self._last_kernel = kernel
        if self._products is not None:
            estimate = alignment(self._products, self._kernel_products())
            found["ntk_similarity_estimate"] = estimate
        return found

    def _compared_weights(self) -> dict[str, float]:
        now = self._model.trained_parameters()
        overall = overall_motion(self._weights, now)
        found = {
            "weight_norm_ratio": overall.norm_ratio,
            "weight_cosine": overall.cosine,
            "weight_relative": overall.relative,
        }
        for name, motion in weight_motion(self._weights, now).items():
            if name.endswith("weight"):
                found[f"weight_cosine.{name.removesuffix('.weight')}"] = motion.cosine
        return found

    def _kernel_products(self) -> Tensor:
        def outputs(parameters: Mapping[str, Tensor]) -> Tensor:
            found = functional_call(self._model, dict(parameters), (self._kernel_inputs,))
            assert isinstance(found, Tensor)
            return found

        return kernel_products(outputs, self._model.trained_parameters(), self._vectors)


def _copied(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in parameters.items()}
