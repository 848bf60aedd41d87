"""Real data sets as arrays, checked as they are read."""

from mfgen.data._arrays import read_arrays as read_arrays
from mfgen.data._dataset import Dataset as Dataset
from mfgen.data._dataset import Partition as Partition
from mfgen.data._dataset import partition as partition
from mfgen.data._dequantise import dequantise as dequantise
from mfgen.data._embedded import breast_cancer as breast_cancer
from mfgen.data._embedded import diabetes as diabetes
from mfgen.data._embedded import digits as digits
from mfgen.data._embedded import iris as iris
from mfgen.data._embedded import wine as wine
from mfgen.data._idx import fashion_mnist as fashion_mnist
from mfgen.data._idx import mnist as mnist
from mfgen.data._idx import read_idx as read_idx
from mfgen.data._scaling import Standardise as Standardise
from mfgen.data._scaling import Whiten as Whiten
from mfgen.data._table import read_table as read_table
from mfgen.data._table import snapshots as snapshots
from mfgen.data._table import table as table
