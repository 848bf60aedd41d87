"""Tables from csv, npy and npz files, and what is refused in them."""

import gzip
import hashlib
import io

import numpy as np
import pytest

from mfgen.data import read_table, snapshots, table

SAMPLES = np.random.default_rng(0).normal(size=(40, 3))


def csv_text(header="", delimiter=","):
    rows = [delimiter.join(repr(float(value)) for value in row) for row in SAMPLES]
    return "\n".join(([header] if header else []) + rows) + "\n"


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        ("plain.csv", csv_text(), ("x0", "x1", "x2")),
        ("named.csv", csv_text("a,b,c"), ("a", "b", "c")),
        ("quoted.csv", "\ufeff" + csv_text('"a a"; "b";', ";"), ("a a", "b", "")),
        ("tabs.csv", csv_text("a\tb\tc", "\t").replace("\n", "\r\n"), ("a", "b", "c")),
    ],
)
def test_csv_files_are_read_with_or_without_a_header(tmp_path, name, text, columns):
    (tmp_path / name).write_bytes(text.encode())
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    for path in (tmp_path / name, tmp_path / f"{name}.gz"):
        samples, names = read_table(path)
        np.testing.assert_array_equal(samples, SAMPLES)
        assert names == columns


@pytest.fixture
def arrays(tmp_path):
    np.save(tmp_path / "one.npy", SAMPLES)
    np.savez(tmp_path / "one.npz", samples=SAMPLES)
    np.savez_compressed(tmp_path / "two.npz", samples=SAMPLES, origin=np.zeros(3))
    np.save(tmp_path / "cube.npy", SAMPLES.reshape(4, 10, 3))
    np.save(tmp_path / "objects.npy", SAMPLES.astype(object))
    np.save(tmp_path / "text.npy", SAMPLES.astype(str))
    return tmp_path


def test_numpy_files_are_read(arrays):
    for path, array in (("one.npy", None), ("one.npz", None), ("two.npz", "samples")):
        np.testing.assert_array_equal(read_table(arrays / path, array=array)[0], SAMPLES)


def test_a_table_becomes_a_data_set(tmp_path):
    path = tmp_path / "named.csv"
    path.write_text(csv_text("a,b,c"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    data = table(path, columns=["c", 0], sha256=digest, fractions=(0.25, 0.25))
    assert (data.name, data.columns, data.train.shape) == ("named", ("c", "a"), (20, 2))
    original = np.concatenate([data.train, data.validation, data.test]).astype(np.float64)
    original = np.sort(data.scaling.invert(original), axis=0)
    np.testing.assert_allclose(original, np.sort(SAMPLES[:, [2, 0]], axis=0), atol=1e-6)
    np.testing.assert_array_equal(data.width, 0.0)


def test_ties_are_dequantised_unless_told_otherwise(tmp_path):
    path = tmp_path / "tied.npy"
    np.save(path, np.round(SAMPLES, 1))
    smooth, raw = table(path), table(path, smooth=False)
    np.testing.assert_allclose(smooth.width, 0.1, rtol=1e-9)
    assert len(np.unique(smooth.train)) == smooth.train.size
    assert len(np.unique(raw.train)) < raw.train.size


def test_copies_of_a_row_are_in_one_part_although_noise_parts_them(tmp_path):
    path = tmp_path / "copies.npy"
    np.save(path, np.repeat(SAMPLES, 4, axis=0))
    data = table(path, fractions=(0.25, 0.25))
    near = [np.round(part, 1) for part in map(data.scaling.invert, (data.train, data.test))]
    assert not set(map(tuple, near[0])) & set(map(tuple, near[1]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: fetch it again"),
        ("a,b\n", "not a table of numbers .it has no rows"),
        ("a,b\n1,2\n3\n", "has 1 fields in line 3, expected 2 as in its first line: fill in"),
        ("1,,3\n4,5,6\n", "line 1, column 2 holds nothing.: fill in or drop"),
        ("1,2\n3,four\n", "not a table of numbers .line 2, column 2 holds 'four'."),
        ("a,b,c\n1,2\n3,4\n", "has 2 fields in line 2, expected 3"),
        ("a,b\n1,2\n#9,9\n", "line 3, column 1 holds '#9'"),
        ("1,2\n3,1e200\n", "has values of size 1e[+]200, expected at most 1e[+]18"),
        ("1,2\nnan,4\n", r"1 values that are NaN or infinite, the first at \[1, 0\]"),
        ("1,2\n3,2\n4,2\n", "constant in feature 1"),
        ("1,2\n", "has 1 samples of 2 features"),
    ],
)
def test_bad_csv_files_are_refused(tmp_path, text, message):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        table(tmp_path / "bad.csv")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cube.npy", r"shape \(4, 10, 3\) .*load \[times, n, dim\] with `snapshots`"),
        ("objects.npy", "holds no plain arrays of numbers .Python objects, which are never loaded"),
        ("text.npy", "dtype <U32, expected real numbers"),
        ("two.npz", r"holds the arrays \['samples', 'origin'\].*as `array`, not None"),
    ],
)
def test_bad_arrays_are_refused(arrays, name, message):
    with pytest.raises(ValueError, match=message):
        table(arrays / name)


@pytest.mark.parametrize("name", ["one.npy", "one.npz", "two.npz"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.97])
def test_truncated_arrays_are_refused(arrays, name, kept):
    content = (arrays / name).read_bytes()
    (arrays / name).write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match="holds no plain arrays of numbers"):
        table(arrays / name, array="samples" if name == "two.npz" else None)


def test_a_header_that_claims_more_than_memory_is_refused(tmp_path):
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**6)}
    np.lib.format.write_array_header_1_0(stream, header)
    (tmp_path / "huge.npy").write_bytes(stream.getvalue() + b"\0" * 64)
    with pytest.raises(ValueError, match="holds no plain arrays of numbers"):
        table(tmp_path / "huge.npy")


def test_wrong_columns_digests_and_endings_are_refused(arrays):
    with pytest.raises(ValueError, match=r"column 'z' .*expected one of \['x0', 'x1', 'x2'\]"):
        table(arrays / "one.npy", columns=["z"])
    with pytest.raises(ValueError, match=r"column 3 .*position below 3"):
        table(arrays / "one.npy", columns=[3])
    for columns in ([], [0, 0], ["x1", 1]):
        with pytest.raises(ValueError, match=r"expected at least one and none twice"):
            table(arrays / "one.npy", columns=columns)
    with pytest.raises(ValueError, match=r"sha256 .*, expected 00"):
        table(arrays / "one.npy", sha256="00")
    (arrays / "one.txt").write_text("1 2")
    with pytest.raises(ValueError, match=r"is no \.csv, \.npy or \.npz file: save"):
        table(arrays / "one.txt")


def test_snapshots_keep_the_axis_of_time(arrays):
    samples = snapshots(arrays / "cube.npy")
    np.testing.assert_array_equal(samples, SAMPLES.reshape(4, 10, 3))
    with pytest.raises(ValueError, match=r"`snapshots` got .*load a matrix with `table`"):
        snapshots(arrays / "one.npy")


def test_protein_itself(real_file):
    data = table(real_file("tabular/protein.csv.gz"))
    assert len(data.train) + len(data.validation) + len(data.test) == 45_730
    assert data.dim == 10
    # The eighth column counts residues: it is almost an integer lattice.
    assert 0.9 < data.width[7] < 1.0
    assert len(np.unique(data.train[:, 7])) > 0.9 * len(data.train)


def test_cells_and_terrain_themselves(real_file):
    assert snapshots(real_file("singlecell/eb_5x300x5.npy")).shape == (5, 300, 5)
    data = table(real_file("lidar/rainier2_ground.npz"), array="xyz")
    assert data.dim == 3


def test_a_seed_fixes_noise_and_split(tmp_path):
    path = tmp_path / "tied.npy"
    np.save(path, np.round(np.random.default_rng(0).normal(size=(40, 3)), 1))
    np.testing.assert_array_equal(table(path, seed=1).train, table(path, seed=1).train)
    assert not np.array_equal(table(path, seed=1).train, table(path, seed=2).train)


def test_quotes_and_blank_lines_are_no_obstacle(tmp_path):
    (tmp_path / "a.csv").write_text('"a";"b"\n"1";2\n\n3;"4.5"\n')
    samples, names = read_table(tmp_path / "a.csv")
    np.testing.assert_array_equal(samples, [[1, 2], [3, 4.5]])
    assert names == ("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2001,2002,2003\n0.1,0.2,0.3\n0.4,0.5,0.7\n", "line 2001,2002,2003, which may be names"),
        ("0,1\n0.5,0.25\n0.4,0.5\n0.1,0.9\n", "line 0,1, which may be names"),
        ("2001,2005\n1,2\n3,4\n5,1\n", "line 2001,2005, which may be names"),
        ("400.5,401.5,402.5\n1,2.5,3\n2,3,1\n", "line 400.5,401.5,402.5, which may be"),
        ("1000\n0.5\n0.7\n0.1\n", "line 1000, which may be names"),
        (",a\n0,1.5\n1,2.5\n2,0.5\n", "column 0 of .*, '', that numbers the rows"),
        (",a\n7,1.5\n3,2.5\n5,0.5\n", "column 0 of .*, '', that numbers the rows"),
        ("Unnamed: 0,a\n0,1.5\n1,2.5\n2,0.5\n", "'Unnamed: 0', that numbers the rows"),
        ("a,index\n0.5,1\n1.5,2\n3.5,3\n", "column 1 of .*'index', that numbers the rows"),
        ("1,0.5\n2,1.5\n3,0.7\n", "'x0', that numbers the rows"),
        ("a,b\n1_000,2\n3,4\n", "line 2, column 1 holds '1_000'"),
        ("1_000,2_000\n3,4\n5,6\n", "line 1, column 1 holds '1_000'"),
        ("a,b\n\uff11\uff12,2\n3,4\n", "line 2, column 1 holds"),
        ("1,234\n2,045\n3,999\n", "commas that may separate thousands"),
        ('a,b\n"1,234",2\n3,4\n', "line 2, column 1 holds '1,234'"),
        ("a,b,a\n1,2,3\n4,5,7\n", "several columns named 'a'"),
        ('a,b\n1,2\n"3,4\n' + "5,6\n" * 5000, "fields in line 3|holds"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path, text, message):
    (tmp_path / "odd.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        table(tmp_path / "odd.csv")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("2,1\n3,5\n1,4\n", 2),  # whole numbers among whole ones
        ("5,3\n5.1,3.5\n4.9,3.25\n", 5),  # a row that happens to be whole
        ("9.5,9\n1,2\n2,3\n3,1\n", 9.5),  # an outlier
        ("y2001,y2002\n1,2\n2,1\n3,5\n", 1),
        ("25,170\n31,165\n28,181\n", 25),  # three digits behind the comma
        ("time,a\n0,5\n1,4\n2,7\n", 0),  # a column that counts, under a name of its own
    ],
)
def test_plain_tables_are_not_taken_for_odd_ones(tmp_path, text, first):
    (tmp_path / "plain.csv").write_text(text)
    assert table(tmp_path / "plain.csv", fractions=(0.0, 0.0)).scaling is not None
    assert read_table(tmp_path / "plain.csv")[0][0, 0] == first


def test_an_index_column_is_left_out_by_naming_the_others(tmp_path):
    (tmp_path / "kept.csv").write_text(",a,b\n0,1.5,2\n1,2.5,1\n2,0.5,0\n")
    data = table(tmp_path / "kept.csv", columns=["a", "b"], fractions=(0.0, 0.0))
    assert data.columns == ("a", "b")


def test_times_in_seconds_and_small_units_keep_their_digits(tmp_path):
    # Standardised in float64: a day about now, and charges of electrons.
    rng = np.random.default_rng(1)
    samples = np.stack([1.7e9 + 3600 * rng.normal(size=60), 1e-45 * rng.normal(size=60)], axis=1)
    np.save(tmp_path / "far.npy", samples)
    data = table(tmp_path / "far.npy", fractions=(0.0, 0.0))
    np.testing.assert_allclose(data.train.std(axis=0), 1.0, rtol=1e-5)
    back = np.sort(data.scaling.invert(data.train), axis=0)
    near = np.sort(samples, axis=0)
    np.testing.assert_allclose(back[:, 0] - 1.7e9, near[:, 0] - 1.7e9, atol=1e-2)
    np.testing.assert_allclose(back[:, 1] / 1e-45, near[:, 1] / 1e-45, atol=1e-5)


def test_bytes_in_the_other_order_are_the_same_numbers(tmp_path):
    np.save(tmp_path / "big.npy", SAMPLES.astype(">f8"))
    np.testing.assert_array_equal(read_table(tmp_path / "big.npy")[0], SAMPLES)


def test_every_flipped_bit_of_an_array_is_its_values_or_refused_in_one_line(arrays):
    """Headers are text that Python reads: a flip makes code, records, other types and shapes."""
    for name in ("one.npy", "one.npz"):
        whole = (arrays / name).read_bytes()
        for place in (*range(min(128, len(whole))), *range(128, len(whole), 131)):
            flipped = bytes([whole[place] ^ (1 << place % 8)])
            (arrays / name).write_bytes(whole[:place] + flipped + whole[place + 1 :])
            try:
                assert np.isfinite(table(arrays / name).train).all()
            except ValueError as error:
                assert "\n" not in str(error)  # noqa: PT017
                assert len(str(error)) < 500  # noqa: PT017
        (arrays / name).write_bytes(whole)


def test_a_shape_that_the_bytes_do_not_hold_is_told_as_it_is(arrays):
    whole = (arrays / "one.npy").read_bytes()
    size = len(SAMPLES) * 24
    (arrays / "one.npy").write_bytes(whole[:-5])
    with pytest.raises(ValueError, match=rf"{size - 5} bytes of values .* which has {size}"):
        table(arrays / "one.npy")


def test_an_archive_that_unpacks_to_far_more_is_not_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((9 * 10**6, 1)))
    with pytest.raises(ValueError, match=r"it unpacks to 72 MB, more than 100 times"):
        table(tmp_path / "bomb.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\n  \n\n", "it has no rows"),
        ("\n\na,b\n1,2\n3\n", "has 1 fields in line 5"),
        ("a,b\n" + "1" * 200_000 + ",2\n", "line 2 holds more than a number: field larger"),
        ("a" * 200_000 + ",b\n1,2\n", "line 1 holds more than a number: field larger"),
        ('a,b\n1,2\n"3,4\n' + "5,6\n" * 9000, "line 3 holds a quote that is not closed"),
        ("1,2,3\n" + "".join(f"{i},{i * i % 7},{i * i}\n" for i in range(9)), "line 1,2,3, which"),
        ("a,b\n1e-200,1\n2e-200,2\n4e-200,4\n", "deviation of 0 in feature 0, expected at least"),
    ],
)
def test_odd_tables_are_refused_by_their_line(tmp_path, text, message):
    (tmp_path / "odd.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        table(tmp_path / "odd.csv")
    assert len(str(caught.value)) < 400


def test_names_of_many_columns_are_not_all_in_the_error(tmp_path):
    names = ",".join(f"feature{i}" for i in range(3000))
    (tmp_path / "wide.csv").write_text(f"{names}\n" + (",".join(["1.5"] * 3000) + "\n") * 3)
    with pytest.raises(ValueError, match=r"got column 'z' .* \.\.\. 2992 more\]") as caught:
        table(tmp_path / "wide.csv", columns=["z"])
    assert len(str(caught.value)) < 500


def test_a_table_that_windows_wrote_is_read(tmp_path):
    (tmp_path / "wide.csv").write_bytes("a,b\n1,2.5\n2.5,1\n3,4\n5,1\n6,9\n".encode("utf-16"))
    assert read_table(tmp_path / "wide.csv")[1] == ("a", "b")


@pytest.mark.parametrize("scale", [1e-45, 1e-120])
def test_small_units_do_not_collapse(tmp_path, scale):
    np.save(tmp_path / "small.npy", SAMPLES * scale)
    data = table(tmp_path / "small.npy")
    np.testing.assert_allclose(data.scaling.invert(data.train).std(axis=0), data.scaling.scale, 0.1)
    assert len(np.unique(data.train)) == data.train.size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_the_file_itself_has_not_resolved_are_refused(tmp_path, dtype):
    far = 100 / np.finfo(dtype).eps
    np.save(tmp_path / "far.npy", (SAMPLES * 100 + far).astype(dtype))
    with pytest.raises(ValueError, match=rf"where {np.dtype(dtype)} has steps of .* subtract the"):
        table(tmp_path / "far.npy")


def test_images_of_any_size_are_a_table_of_pixels(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (40, 3, 5), dtype=np.uint8)
    sizes = b"".join(size.to_bytes(4, "big") for size in images.shape)
    (tmp_path / "mine-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3]) + sizes + images.tobytes())
    samples, _ = read_table(tmp_path / "mine-idx3-ubyte")
    np.testing.assert_array_equal(samples, images.reshape(40, 15))
