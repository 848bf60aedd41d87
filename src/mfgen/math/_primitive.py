"""The kinds of JAX's operations for second-order series, by the name JAX gives each of them.

Names, because not every operation can be imported. One that stands in no list is still right: it
passes by nested forward mode.
"""


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Calls that only group operations.
GROUP = names("closed_call core_call jit pjit")
# Calls that are opened; a custom reverse rule has no use in forward mode.
OPENED = GROUP | names("checkpoint custom_vjp_call remat remat2")
# The derivative vanishes almost everywhere (of real operands).
STEPWISE = names("ceil floor round sign stop_gradient")
# Linear in all operands together that can carry a derivative.
LINEAR = names(
    """add add_any broadcast_in_dim concatenate convert_element_type copy copy_p cumsum
    dynamic_slice dynamic_update_slice gather neg pad reduce_sum reduce_window_sum reshape rev
    scatter scatter-add select_n slice split squeeze stack sub transpose"""
)
# The second derivative vanishes almost everywhere (of real operands).
PIECEWISE_LINEAR = names(
    "abs clamp cummax cummin max min reduce_max reduce_min reduce_precision sort"
)
LINEAR_IN_FIRST = names("div")
LINEAR_IN_EACH = names("conv_general_dilated mul")
# Smooth functions of the entries at one place.
ELEMENTWISE = names(
    """acos acosh asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt cos cosh digamma div erf
    erf_inv erfc exp exp2 expm1 integer_pow lgamma log log1p logistic pow rsqrt sin sinh sqrt
    square tan tanh"""
)
# All functions of the entries at one place.
POINTWISE = (
    ELEMENTWISE
    | STEPWISE
    | names(
        """abs add and clamp convert_element_type copy eq ge gt is_finite le lt max min mul ne neg
        not or select_n sub xor"""
    )
)
