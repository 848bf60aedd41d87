"""Measures of quality, each with its standard error."""

from mfgen.metrics._agreement import Agreement as Agreement
from mfgen.metrics._agreement import compare as compare
from mfgen.metrics._certificate import Certificate as Certificate
from mfgen.metrics._certificate import certify as certify
from mfgen.metrics._classifier import c2st as c2st
from mfgen.metrics._discrepancy import energy_distance as energy_distance
from mfgen.metrics._discrepancy import mmd2 as mmd2
from mfgen.metrics._equation import hjb_error as hjb_error
from mfgen.metrics._equation import hjb_profile as hjb_profile
from mfgen.metrics._estimate import Estimate as Estimate
from mfgen.metrics._exploitability import exploitability as exploitability
from mfgen.metrics._importance import effective_fraction as effective_fraction
from mfgen.metrics._importance import effective_sample_size as effective_sample_size
from mfgen.metrics._importance import log_normaliser as log_normaliser
from mfgen.metrics._importance import log_weights as log_weights
from mfgen.metrics._importance import reverse_kl as reverse_kl
from mfgen.metrics._likelihood import kl as kl
from mfgen.metrics._likelihood import mean_log_likelihood as mean_log_likelihood
from mfgen.metrics._likelihood import one_shot_error as one_shot_error
from mfgen.metrics._memorisation import copying_probability as copying_probability
from mfgen.metrics._memorisation import memorisation_ratio as memorisation_ratio
from mfgen.metrics._one_evaluation import one_evaluation_kl as one_evaluation_kl
from mfgen.metrics._one_evaluation import (
    one_evaluation_log_likelihood as one_evaluation_log_likelihood,
)
from mfgen.metrics._potential_density import DegenerateWeights as DegenerateWeights
from mfgen.metrics._potential_density import PotentialDensity as PotentialDensity
from mfgen.metrics._potential_density import potential_density as potential_density
from mfgen.metrics._score import girsanov_bound as girsanov_bound
from mfgen.metrics._score import score_error as score_error
from mfgen.metrics._score import score_profile as score_profile
from mfgen.metrics._transport import sliced_wasserstein2 as sliced_wasserstein2
from mfgen.metrics._transport import wasserstein2 as wasserstein2
