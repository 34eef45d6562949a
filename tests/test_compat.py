"""The drop-in for the PyPI package `mnist1d`: its names, its results, and the random states that it leaves behind."""

import importlib
import inspect
import random
import warnings

import mnist1d
import mnist1d.data
import mnist1d.transform
import mnist1d.utils
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnist1d_hf.compat
from mnist1d_hf import compat

MODULES = ("", ".data", ".transform", ".utils")


def states():
    return random.getstate(), [np.asarray(part).tolist() for part in np.random.get_state()]


def assert_equal(found, expected):
    """The same types, shapes and bits, whatever they are nested in."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_equal(found[key], value)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        if expected.dtype == np.longdouble:  # some of its bytes are padding, with any value
            np.testing.assert_array_equal(found, expected)
        else:
            assert found.tobytes() == expected.tobytes()
    else:
        assert found == expected


def both(code, *arguments):
    """Run `code(package, ...)` with the original and with ours, and compare results and random states."""
    results = []
    for package in (mnist1d, compat):
        random.seed(99)
        np.random.seed(99)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            results.append((code(package, *arguments), states()))
    (expected, expected_states), (found, found_states) = results
    assert_equal(found, expected)
    assert found_states == expected_states
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_the_originals_signature(module):
    original = importlib.import_module(f"mnist1d{module}")
    ours = importlib.import_module(f"mnist1d_hf.compat{module}")
    names = [name for name, value in vars(original).items() if not name.startswith("_") and callable(value)]
    names = [name for name in names if getattr(original, name).__module__.startswith("mnist1d")]
    assert names
    for name in names:
        expected, found = (inspect.signature(getattr(package, name)).parameters for package in (original, ours))
        assert [(p.name, p.default, p.kind) for p in found.values()] == [
            (p.name, p.default, p.kind) for p in expected.values()
        ], name


def test_the_package_has_the_originals_shape():
    assert callable(compat.transform)  # the function, not the module
    assert inspect.ismodule(compat.data)
    assert inspect.ismodule(compat.utils)
    assert vars(compat.get_dataset_args()) == vars(mnist1d.get_dataset_args())
    assert_equal(compat.get_templates(), mnist1d.get_templates())


ARGUMENTS = [
    {},
    {"seed": 7, "num_samples": 300},
    {"num_samples": 200, "shuffle_seq": True},
    {"num_samples": 203, "train_split": 0.55},
    {"num_samples": 100, "train_split": 1.0},
    {"num_samples": 100, "train_split": 0},
    {"num_samples": 100, "padding": [10, 20]},  # shifts of up to 47 of 32 points
    {"num_samples": 100, "padding": [60, 60]},
    {"num_samples": 100, "padding": [60, 36]},
    {"num_samples": 100, "padding": np.array([30, 40]), "seed": np.int64(3)},
    {"num_samples": np.int64(100), "final_seq_length": 72},
    {"num_samples": 100, "corr_noise_scale": 0, "iid_noise_scale": 0},
    {"num_samples": 100, "scale_coeff": -0.4, "shear_scale": -1},
    {"num_samples": 100, "template_len": 17, "max_translation": 1},
    {"num_samples": 100, "shuffle_seq": "yes"},
    {"num_samples": 50, "scale_coeff": np.float32(0.3)},
    {"num_samples": 50, "shear_scale": np.float16(0.3)},
    {"num_samples": 50, "iid_noise_scale": np.longdouble("0.02"), "corr_noise_scale": np.float32(0.3)},
    {"num_samples": 50, "scale_coeff": np.array(0.3, "float32")},
]


@pytest.mark.parametrize("changes", ARGUMENTS, ids=[",".join(item) or "default" for item in ARGUMENTS])
def test_make_dataset_and_what_it_leaves_behind(changes):
    def code(package):
        args = package.get_dataset_args()
        # The original seeds Python's generator with the seed as it is: an integer of NumPy is an error to it there.
        for name, value in changes.items():
            plain = package is mnist1d and name == "seed"
            setattr(args, name, int(value) if plain else value)
        data = package.data.make_dataset(args)
        return data, random.random(), np.random.permutation(5)

    both(code)


@pytest.mark.parametrize("key", ["x", "t"])
def test_templates_of_another_precision(key):
    def code(package):
        templates = package.get_templates()
        templates[key] = templates[key].astype(np.longdouble)
        args = package.get_dataset_args()
        args.num_samples = 50
        return package.data.make_dataset(args, templates)

    both(code)


class AttributeDict(dict):
    """What EasyDict, Munch and others are."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


def test_a_dictionary_with_attributes():
    def code(package):
        args = AttributeDict(package.get_dataset_args(as_dict=True))
        args.num_samples = 50
        return package.data.make_dataset(args)

    both(code)
    args = AttributeDict(compat.get_dataset_args(as_dict=True), num_samples=50, noise_scale=0.5)
    with pytest.warns(UserWarning, match="args.noise_scale: no such argument"):
        compat.data.make_dataset(args)
    del args["seed"]  # __getattr__ raises a KeyError then
    with pytest.raises(TypeError, match="wrap it: ObjectView"):
        compat.data.make_dataset(args)


def test_without_an_address_the_original_builds(tmp_path):
    def code(package):
        values = {**package.get_dataset_args(as_dict=True), "num_samples": 50}
        del values["url"]
        path = tmp_path / f"{package.__name__}.pkl"
        return package.get_dataset(package.ObjectView(values), path=path, verbose=False)

    both(code)


def test_templates_of_the_users_own():
    own = {"x": np.linspace(-1, 1, 24).reshape(3, 8), "t": np.arange(8), "y": np.array([3, 1, 4])}

    def code(package):
        args = package.utils.ObjectView({**package.get_dataset_args(as_dict=True), "num_samples": 30})
        data = package.data.make_dataset(args, own)
        assert data["templates"] is own
        return data

    both(code)


@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([(12,), (60,), (3, 20), (2, 3, 9)]), data=st.data())
def test_the_parts_of_transform(seed, shape, data):
    x = np.random.default_rng(seed).normal(size=shape).astype(data.draw(st.sampled_from(["float64", "float32"])))
    low = data.draw(st.integers(0, 5))
    points = data.draw(st.integers(2, 50))

    def code(package):
        module = importlib.import_module(f"{package.__name__}.transform")
        np.random.seed(seed)
        return [
            module.pad(x if x.ndim < 3 else x[0], (low, low + 4)),
            module.translate(x, 7),
            module.corr_noise_like(x, 0.25),
            module.iid_noise_like(x, 0.02),
            module.interpolate(x, points),
            module.interpolate(np.arange(12), points),
            module.shear(x if x.ndim == 1 else x[..., : len(x)], 0.75),
        ]

    both(code)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,)])
@pytest.mark.parametrize("scale", [0.25, np.float32(0.25)])
def test_noise_of_few_points(shape, scale):
    def code(package):
        module = importlib.import_module(f"{package.__name__}.transform")
        noise = module.corr_noise_like(np.zeros(shape), scale), module.iid_noise_like(np.zeros(shape), scale)
        return [type(item) for item in noise], noise

    both(code)


@pytest.mark.parametrize("module", MODULES)
def test_import_star_gives_the_originals_names(module):
    pytest.importorskip("matplotlib", reason="needs the extra torch")
    original, ours = {}, {}
    exec(f"from mnist1d{module} import *", original)
    exec(f"from mnist1d_hf.compat{module} import *", ours)
    assert original.keys() - ours.keys() <= {"requests", "mnist1d"}  # compat opens no connection
    for name in ("np", "os", "plt", "random", "pickle", "scipy", "gaussian_filter", "interp1d"):
        assert ours.get(name) is original.get(name)


def test_transform():
    def code(package):
        package.set_seed(5)
        templates = package.get_templates()
        return [package.transform(templates["x"][row], templates["t"], package.get_dataset_args()) for row in range(10)]

    both(code)


# The data path of the textbook's notebooks ("Understanding Deep Learning") and of the paper's.


def notebook_8_1(package):
    args = package.data.get_dataset_args()
    data = package.data.get_dataset(args, path="./mnist1d_data.pkl", download=False, regenerate=False)
    print(f"Examples in training set: {len(data['y'])}")
    return data["x"].astype("float32"), data["y"].transpose().astype("int64"), data["x_test"].astype("float32")


def notebook_8_3(package):
    args = package.data.get_dataset_args()
    args.num_samples, args.train_split = 8000, 0.5
    args.corr_noise_scale, args.iid_noise_scale = 0.25, 2e-2
    data = package.data.get_dataset(args, path="./mnist1d_data.pkl", download=False, regenerate=True)
    for row in range(len(data["y"])):
        if random.random() < 0.15:
            data["y"][row] = int(random.random() * 10)
    return data


def notebook_9_5(package):
    data = notebook_8_1(package)
    turned = [np.roll(row, np.random.randint(40)) * np.random.uniform(0.8, 1.2) for row in data[0][:50]]
    return data, np.stack(turned)


def notebook_10_2(package):
    args = package.data.get_dataset_args()
    data = package.data.get_dataset(args, path="./mnist1d_data.pkl", download=False, regenerate=False)
    return data["x"].transpose().astype("float32"), data["y"].astype("int64")


def notebook_20_1(package):
    args = package.data.get_dataset_args()
    data = package.data.get_dataset(args, path="./mnist1d_data.pkl", download=False, regenerate=False)
    x = data["x"].mean() + data["x"].std() * np.random.randn(*data["x"].shape)
    return x, np.random.permutation(data["y"])


def notebook_20_2(package):
    data = notebook_8_1(package)
    again = notebook_8_1(package)  # the original finds its file now
    return data, again, np.random.rand()


def notebook_20_3(package):
    get_dataset, get_dataset_args = package.data.get_dataset, package.data.get_dataset_args
    set_seed, to_pickle, from_pickle = package.utils.set_seed, package.utils.to_pickle, package.utils.from_pickle
    data = package.get_dataset(args=package.get_dataset_args(), download=False)
    package.set_seed(3)
    masks = np.random.rand(4, 4)
    to_pickle({"masks": masks}, "masks.pkl")
    set_seed(4)
    later = get_dataset(get_dataset_args(), path="other.pkl", download=False)
    return data["templates"]["y"], from_pickle("masks.pkl"), later, np.random.rand()


def paper_sizes(package):
    sets = []
    for size in (1000, 2000):
        args = package.get_dataset_args()
        args.num_samples, args.train_split = size, 0.25
        sets.append(package.data.make_dataset(args))
    return sets, random.random()


def paper_building(package):
    templates, args = package.get_templates(), package.get_dataset_args()
    package.utils.set_seed(args.seed)
    x = templates["x"]
    padded = importlib.import_module(f"{package.__name__}.transform").pad(x, args.padding)
    return padded, [package.transform(row, templates["t"], args) for row in x]


NOTEBOOKS = [
    *(notebook_8_1, notebook_8_3, notebook_9_5, notebook_10_2, notebook_20_1, notebook_20_2, notebook_20_3),
    *(paper_sizes, paper_building),
]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[item.__name__ for item in NOTEBOOKS])
def test_notebooks_give_the_same_with_one_line_changed(notebook, tmp_path, monkeypatch, capsys):
    def code(package):
        place = tmp_path / package.__name__
        place.mkdir()
        monkeypatch.chdir(place)
        capsys.readouterr()
        return notebook(package), capsys.readouterr().out.splitlines()[:1]

    both(code)


def test_get_dataset_reads_and_writes_nothing(tmp_path, capsys):
    args = compat.get_dataset_args()
    args.num_samples = 100
    (tmp_path / "mnist1d_data.pkl").write_bytes(b"not a pickle that anyone should open")
    data = compat.get_dataset(args, path="mnist1d_data.pkl", download=False, regenerate=True)
    assert data["x"].shape == (80, 40)
    assert capsys.readouterr().out == "Did or could not load data from mnist1d_data.pkl. Rebuilding dataset...\n"
    with pytest.warns(UserWarning, match="would ignore them here"):
        compat.get_dataset(args, path="mnist1d_data.pkl", verbose=False, download=False)
    assert (tmp_path / "mnist1d_data.pkl").read_bytes().startswith(b"not a pickle")
    assert [path.name for path in tmp_path.iterdir()] == ["mnist1d_data.pkl"]
    assert capsys.readouterr().out == ""


def test_where_the_original_ignores_arguments_a_warning_says_so_and_no_state_changes():
    args = compat.get_dataset_args()
    args.num_samples = 100
    before = states()
    with pytest.warns(UserWarning, match="num_samples as given; mnist1d itself would ignore them here"):
        data = compat.get_dataset(args, verbose=False)  # download=True
    assert data["x"].shape == (80, 40)
    assert states() == before
    compat.get_dataset(compat.get_dataset_args(), verbose=False, anything="goes")  # and no warning: an error in pytest
    with pytest.raises(AssertionError, match="found both"):
        compat.get_dataset(args, download=True, regenerate=True)


def test_a_second_call_with_equal_arguments_gives_no_warning(tmp_path):
    def call(count, download=False, template=None):
        args = compat.get_dataset_args()
        args.num_samples = count
        arguments = {} if template is None else {"template": template}
        return compat.get_dataset(args, tmp_path / "data.pkl", False, download, **arguments)

    first = call(100)
    for download in (False, True):  # the original would read the file of the first call in both cases
        before = states()
        assert_equal(call(100, download), first)  # a warning would be an error in pytest
        assert states() == before
    with pytest.warns(UserWarning, match="num_samples as given; .* returns the data of an earlier call for"):
        call(200)
    with pytest.warns(UserWarning, match="built with num_samples as given"):
        call(5000)  # the default, which the file does not have
    other = compat.get_templates()
    other["x"] *= 2
    with pytest.warns(UserWarning, match="built with template as given"):
        call(100, template=other)


def test_after_a_download_the_original_has_a_file(tmp_path):
    arguments = compat.get_dataset_args(), tmp_path / "data.pkl", False
    before = states()
    compat.get_dataset(*arguments)
    compat.get_dataset(*arguments, download=False)
    assert states() == before


def test_attributes_that_nobody_reads_are_named():
    args = compat.get_dataset_args()
    args.num_samples = 50
    args.noise_scale = 0.5
    args.sigma = 0.1  # like nothing here
    with pytest.warns(UserWarning, match="args.noise_scale: no such argument.*did you mean iid_noise_scale") as found:
        compat.make_dataset(args)
    assert len(found) == 1
    assert "args.sigma" in str(found[0].message)


def test_the_users_own_attributes_get_no_absurd_hint():
    class Settings:  # attributes of the class, and slots, are attributes, too
        __slots__ = ("eval_split",)
        num_steps, num_classes, num_seeds, data_seed = 10, 10, 3, 7

    for name, value in {**compat.get_dataset_args(as_dict=True), "num_samples": 50}.items():
        setattr(Settings, name, value)
    settings = Settings()
    settings.eval_split = 0.1
    with pytest.warns(UserWarning, match="no such argument") as found:
        compat.make_dataset(settings)
    message = str(found[0].message)
    assert "did you mean" not in message
    assert all(f"args.{name}" in message for name in ("eval_split", "num_steps", "num_classes", "data_seed"))


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="wrap it: ObjectView"):
        compat.make_dataset({"seed": 1})
    with pytest.raises(ValueError, match=r"args: missing num_samples, .*start from get_dataset_args"):
        compat.make_dataset(compat.ObjectView({"seed": 1}))
    args = compat.get_dataset_args()
    args.num_samples = 3
    with pytest.raises(ValueError, match="num_samples: expected at least one for each of the 10 classes, found 3"):
        compat.make_dataset(args)


def test_plot_signals(monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot", reason="needs the extra torch")
    plt.switch_backend("agg")
    monkeypatch.setattr(plt, "show", lambda: None)

    def code(package):
        templates = package.get_templates()
        figure = package.plot_signals(
            templates["x"], templates["t"], labels=templates["y"], args=package.get_dataset_args(), do_transform=True
        )
        lines = [axis.lines[0].get_xydata() for axis in figure.axes]
        texts = [(axis.get_title(), axis.get_xlim(), axis.get_ylim()) for axis in figure.axes]
        plt.close(figure)
        return lines, texts, tuple(figure.get_size_inches())

    both(code)


def test_everything_else_leaves_the_global_generators_alone():
    before = states()
    mnist1d_hf.make_dataset()
    mnist1d_hf.sample(range(10))
    assert states() == before
