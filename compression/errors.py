"""What can go wrong in pruning, each with an exception of its own."""


class CompressionError(Exception):
    """Base of every error of this package."""


class UnsupportedLayerError(CompressionError):
    """A parameter belongs to a kind of layer whose curvature is not known here."""


class TiedWeightsError(CompressionError):
    """One parameter stands under several names."""


class LazyModuleError(CompressionError):
    """A lazily built module has no weights yet."""


class NothingPrunableError(CompressionError):
    """No weight is left to prune."""


class TrainingModeError(CompressionError):
    """The model is in training mode, so its outputs depend on chance or on the batch."""


class ExhaustedLoaderError(CompressionError):
    """A loader gave no batch where one was needed."""


class DivergedError(CompressionError):
    """A loss is not a finite number."""


class NotFittedError(CompressionError):
    """Curvature is asked for before it was estimated."""


class SparsityError(CompressionError):
    """A sparsity that cannot be reached from the present state."""


class StructureError(CompressionError):
    """A pattern of removal that does not suit the model."""
