"""Anonymous ids: bijective hashes of indices, so that no two are ever equal."""

import numpy as np

_FIRST_PRODUCT = np.uint64(1 << 40)


class Identifiers:
    """Turns the indices of customers, suppliers, variants and products into the release's ids."""

    def __init__(self, generator: np.random.Generator) -> None:
        """Draw the keys of the hashes.

        Args:
            generator: Source of randomness.
        """
        self._customer_key, self._supplier_key = generator.integers(
            1 << 32, size=2, dtype=np.uint32
        )
        self._variant_key = generator.integers(1 << 64, dtype=np.uint64)

    def of_customers(self, customer: np.ndarray) -> np.ndarray:
        """Ids of customers, int64 within 32 signed bits."""
        return _scramble_32(customer.astype(np.uint32) ^ self._customer_key)

    def of_suppliers(self, supplier: np.ndarray) -> np.ndarray:
        """Ids of suppliers, int64 within 32 signed bits."""
        return _scramble_32(supplier.astype(np.uint32) ^ self._supplier_key)

    def of_variants(self, variant: np.ndarray) -> np.ndarray:
        """Ids of variants, int64."""
        return _scramble_64(variant.astype(np.uint64) ^ self._variant_key)

    def of_products(self, product: np.ndarray) -> np.ndarray:
        """Ids of products, int64, none of them a variant's."""
        return _scramble_64((product.astype(np.uint64) + _FIRST_PRODUCT) ^ self._variant_key)


def _scramble_32(value: np.ndarray) -> np.ndarray:
    """A bijection of 32-bit words: xor-shifts and products with odd numbers, both invertible."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        value = (value ^ (value >> np.uint32(shift))) * np.uint32(factor)
    value = value ^ (value >> np.uint32(16))
    return np.asarray(value.view(np.int32), dtype=np.int64)


def _scramble_64(value: np.ndarray) -> np.ndarray:
    """A bijection of 64-bit words: xor-shifts and products with odd numbers, both invertible."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    value = value ^ (value >> np.uint64(31))
    return np.asarray(value.view(np.int64))
