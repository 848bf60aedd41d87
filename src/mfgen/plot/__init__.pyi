"""Figures: of solutions and their certificates, and of runs."""

from mfgen.plot._fields import fields as fields
from mfgen.plot._runs import clouds as clouds
from mfgen.plot._runs import descents as descents
from mfgen.plot._runs import images as images
from mfgen.plot._runs import losses as losses
from mfgen.plot._runs import pairs as pairs
from mfgen.plot._runs import profile as profile
from mfgen.plot._solutions import plot_agreement as plot_agreement
from mfgen.plot._solutions import plot_certificate as plot_certificate
