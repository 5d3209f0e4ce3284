"""A name is dangerous by what it would do, plain by a list, and else unknown."""

import pytest

from core.checkpoint.pickles.global_verdicts import Verdict, judge

CLASSES = [
    "torch.distributed._mesh_layout._MeshLayout",
    "torch.distributed._mesh_layout._FlatLayout",
    "torch.distributed.algorithms.join._JoinConfig",
    "torch.distributed.distributed_c10d.ReduceOp",
    "torch.distributed.optim.ZeroRedundancyOptimizer",
    "torch.distributed.ProcessGroup",
    "torch.distributed.pipelining.stage.PipelineStage",
    "torch.fx._symbolic_trace.Tracer",
    "torch.fx.graph.Graph",
    "torch.jit._script.RecursiveScriptModule",
    "torch.serialization.LoadEndianness",
    "torch.utils.collect_env.SystemEnv",
    "sympy.core.symbol.Symbol",
    "sympy.core.numbers.Integer",
    "requests.structures.CaseInsensitiveDict",
    "unittest.mock.Mock",
    "yaml.nodes.ScalarNode",
    "concurrent.futures._base.Future",
    "huggingface_hub.utils.X509Like",
    "fsspec.spec.AbstractFileSystem",
    "pandas.io.formats.style.Styler",
    "urllib.parse.ParseResult",
    "http.cookies.SimpleCookie",
]

KNOWN_DATA = {
    "inspect.Signature": "signature",
    "inspect.Parameter": "signature",
    "inspect._ParameterKind": "signature",
    "joblib.numpy_pickle.NumpyArrayWrapper": "joblib has written an array",
    "types.GenericAlias": "list[int]",
    "http.HTTPStatus": "named numbers",
    "signal.Signals": "named numbers",
    "ssl.Purpose": "named numbers",
    "socket.AddressFamily": "named numbers",
    "threading.Lock": "a lock",
    "_thread.RLock": "a lock",
    "builtins.type": "type of classes",
    "__builtin__.long": "type of whole numbers",
    "uuid.UUID": "unique identifier",
    "logging.Logger": "a log, with",
    "numpy.random._pickle.__randomstate_ctor": "random generator",
    "numpy.random._pickle.__generator_ctor": "random generator",
    "numpy.random._pickle.__bit_generator_ctor": "random generator",
    "torch.fx.immutable_collections.immutable_dict": "a dictionary",
    "operator.add": "arithmetic",
}

RUN = [
    "torch.distributed.init_process_group",
    "torch.distributed.rpc.api.rpc_sync",
    "torch.distributed.TCPStore",
    "torch.fx.graph_module.reduce_graph_module",
    "torch.jit.load",
    "torch.jit.CompilationUnit",
    "torch.package.PackageImporter",
    "torch.utils.benchmark.Timer",
    "torch.serialization.load",
    "torch.utils.cpp_extension.load",
    "sympy.sympify",
    "sympy.sin",
    "sympy.S",
    "unittest.mock._importer",
    "threading.Thread",
    "logging.FileHandler",
    "logging.config.dictConfig",
    "http.server.HTTPServer",
    "requests.get",
    "requests.Session",
    "concurrent.futures.process.ProcessPoolExecutor",
    "joblib.load",
    "inspect.getsource",
    "types.FunctionType",
    "types.MethodType",
    "operator.attrgetter",
    "operator.itemgetter",
    "operator.methodcaller",
    "uuid.uuid1",
    "socket.socket",
    "ssl.create_default_context",
    "pipes.Template",
    "_interpreters.run_string",
    "_xxsubinterpreters.create",
    "concurrent.interpreters.create",
    "interpreters.create",
    "_testcapi.run_in_subinterp",
    "cgitb.Hook",
    "_posixshmem.shm_open",
    "_wmi.exec_query",
    "tkinter.Tcl",
    "_tkinter.create",
    "readline.read_init_file",
    "mailcap.findmatch",
    "modulefinder.ModuleFinder",
    "zipapp.create_archive",
    "codecs.open",
    "gzip.open",
    "gzip.GzipFile",
    "bz2.open",
    "lzma.open",
    "io.open",
    "io.FileIO",
    "torchvision.datasets.utils.download_url",
    "transformers.AutoModel.from_pretrained",
    "a_module.SomeClass.from_pretrained",
    "huggingface_hub.hf_hub_download",
    "urllib.request.urlopen",
    "torch.distributed.join.os.system",
    "torch.fx.Graph._os.system",
    "sympy.Symbol.__globals__",
]


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_among_functions_that_run_things_is_not_known(name: str) -> None:
    use = judge(name, 1, known=False)
    assert use.verdict is Verdict.INERT
    assert "is not known" in use.reason


@pytest.mark.parametrize(("name", "words"), KNOWN_DATA.items())
def test_known_data_is_told_as_what_it_is(name: str, words: str) -> None:
    use = judge(name, 1, known=False)
    assert use.verdict is Verdict.INERT
    assert words in use.reason


@pytest.mark.parametrize("name", RUN)
def test_what_runs_something_is_dangerous(name: str) -> None:
    assert judge(name, 1, known=False).verdict is Verdict.DANGEROUS


@pytest.mark.parametrize("name", ["crypt.crypt", "evil_module.run", "os2.System", "builtins.print"])
def test_what_is_on_no_list_is_not_known(name: str) -> None:
    use = judge(name, 1, known=False)
    assert use.verdict is Verdict.INERT
    assert "is not known" in use.reason


RUNS = (
    "dataclasses._create_fn", "attr._make._compile_and_eval", "pathlib.Path.unlink",
    "transformers.dynamic_module_utils.get_class_in_module", "pathlib.PosixPath.write_text",
    "pathlib.Path.touch", "pathlib._local.PosixPath.rmdir", "numpy.ndarray.tofile",
    "numpy.ndarray.dump", "safetensors.numpy.save_file", "safetensors.torch.save_file",
    "h5py.File", "PIL.Image.Image.save", "omegaconf.OmegaConf.save",
    "omegaconf.omegaconf.OmegaConf.load", "torch._ops._Ops.load_library",
    "hydra.utils.instantiate", "hydra._internal.instantiate._instantiate2.instantiate",
    "six.exec_", "pandas.DataFrame.query", "pandas.core.frame.DataFrame.eval",
    "timm.models.helpers.load_checkpoint", "timm.models._helpers.load_state_dict",
    "lightning.pytorch.LightningModule.load_from_checkpoint", "mylib.Net.load_from_checkpoint",
    "torch._C.import_ir_module", "itertools.starmap", "jinja2.Template",
    "pydantic.v1.utils.import_string", "scipy.io.loadmat", "PIL.ImageMath.unsafe_eval",
)  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_what_writes_files_or_runs_source_is_dangerous(name: str) -> None:
    assert judge(name, 1, known=False).verdict is Verdict.DANGEROUS


@pytest.mark.parametrize(
    "name",
    [
        "subprocess.CompletedProcess", "subprocess.CalledProcessError",
        "commands.CompletedProcess", "commands.CalledProcessError", "urllib2.URLError",
        "urllib2.HTTPError", "urllib.error.URLError", "zoneinfo.ZoneInfo", "socket.timeout",
    ],
)  # fmt: skip
def test_a_record_of_an_error_is_known_data(name: str) -> None:
    use = judge(name, 1, known=False)
    assert use.verdict is Verdict.INERT
    assert use.is_known


@pytest.mark.parametrize(
    "name",
    [
        "mylib.save_file", "mylib.io.write_text", "mylib.Net.read", "sh.Model", "dl.Net",
        "pkg_resources.extern.packaging.version.Version", "omegaconf.dictconfig.DictConfig",
        "h5py.Empty", "transformers.utils.hub.PushToHubMixin", "onnx.Model",
        "pathlib.PurePath.stem",
    ],
)  # fmt: skip
def test_what_is_not_known_is_not_called_dangerous(name: str) -> None:
    assert judge(name, 1, known=False).verdict is Verdict.INERT


def test_what_saves_is_not_told_as_what_loads() -> None:
    for name in ("torch.save", "torch.serialization.save"):
        assert "writes files" in judge(name, 1, known=False).reason
    assert "loads another file" in judge("torch.serialization.load", 1, known=False).reason
