"""Refuse answers that would break the project later, before anything is written."""

import keyword
import sys
import unicodedata
from collections.abc import Iterator

# No JSON: to import its library would take longer than the check itself.
COOKIECUTTER = dict({{cookiecutter.items() | rejectattr(1, "mapping") | list}})
CHOICES = {
    "level": ["training", "deployment", "operations"],
    "license": ["MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"],
    "ci": ["github", "gitlab"],
    "setup": ["yes", "no"],
}
UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}  # Unicode's control characters, surrogates, line separators

# Names that the project's environment imports or installs; `make lock` rewrites the block.
RESERVED = set("""
a2wsgi aiobotocore aiohappyeyeballs aiohttp aiohttp_retry aioitertools aiosignal aiosmtplib
aiosqlite airflow alembic altair amqp annotated_doc annotated_types antlr4 antlr4_python3_runtime
anyio apache_airflow apache_airflow_core apache_airflow_providers_common_compat
apache_airflow_providers_common_io apache_airflow_providers_common_sql
apache_airflow_providers_smtp apache_airflow_providers_standard apache_airflow_task_sdk appdirs
appnope argcomplete argon2_cffi argon2_cffi_bindings arrow asgiref ast_serialize asttokens
async_lru asyncssh atpublic attr attrs autopep8 babel bcrypt beautifulsoup4 billiard black blackd
bleach blib2to3 blinker boto3 botocore cachetools cadwyn catboost celery certifi cffi cfgv
charset_normalizer click click_didyoumean click_plugins click_repl cloudpickle colorama colorlog
comm configobj conftest contourpy coverage cron_descriptor croniter cryptography cycler databricks
databricks_sdk dateutil debugpy decorator defusedxml deprecated detect_secrets dictdiffer dill
diskcache distlib distro dnspython docker dotenv dpath dulwich dvc dvc_data dvc_gs dvc_http
dvc_objects dvc_render dvc_s3 dvc_ssh dvc_studio_client dvc_task email_validator entrypoints
executing fastapi fastapi_cli fastapi_offline fastjsonschema filelock flask flask_cors flatbuffers
flatten_dict flufl flufl_lock fonttools fqdn frozenlist fsspec funcy gcsfs git gitdb gitpython
google google_api_core google_auth google_auth_oauthlib google_cloud_core google_cloud_storage
google_cloud_storage_control google_crc32c google_resumable_media googleapis_common_protos
grandalf graphene graphql graphql_core graphql_relay graphviz greenback greenlet
grpc_google_iam_v1 grpcio grpcio_status gto gunicorn h11 httpcore httptools httpx huey hydra
hydra_core identify idna importlib_metadata iniconfig ipykernel ipykernel_launcher ipython
ipython_pygments_lexers isoduration isort iterative_telemetry itsdangerous jedi jinja2 jmespath
joblib json5 jsonpointer jsonschema jsonschema_specifications jupyter jupyter_builder
jupyter_client jupyter_core jupyter_events jupyter_lsp jupyter_server jupyter_server_terminals
jupyterlab jupyterlab_pygments jupyterlab_server kiwisolver kombu lark lazy_importer
lazy_object_proxy libcst librt lightgbm linkify_it_py lockfile mako markdown_it markdown_it_py
markupsafe matplotlib matplotlib_inline mdurl methodtools mistune ml_dtypes mlflow mlflow_skinny
mlflow_tracing mlops_loop more_itertools mpl_toolkits msgspec multidict mypy mypy_extensions mypyc
narwhals natsort nbclient nbconvert nbformat nbqa nbstripout nest_asyncio2 networkx nodeenv
notebook_shim numpy oauthlib omegaconf onnx onnxruntime opentelemetry opentelemetry_api
opentelemetry_exporter_http_transport opentelemetry_exporter_otlp
opentelemetry_exporter_otlp_common opentelemetry_exporter_otlp_proto_common
opentelemetry_exporter_otlp_proto_grpc opentelemetry_exporter_otlp_proto_http opentelemetry_proto
opentelemetry_sdk opentelemetry_semantic_conventions optuna orjson outcome overrides packaging
pandas pandocfilters parso pathlib_abc pathspec pendulum pexpect pil pillow pip platformdirs
plotly pluggy polars polars_runtime_32 pre_commit pre_commit_hooks prettytable prometheus_client
prompt_toolkit propcache proto_plus protobuf psutil psycopg psycopg_binary ptyprocess public
pure_eval py pyarrow pyasn1 pyasn1_modules pycodestyle pycparser pydantic pydantic_core
pydantic_extra_types pydantic_settings pydeck pydevd_plugins pydot pygit2 pygments pygtrie pyjwt
pylab pyparsing pytest pytest_cov python_daemon python_dateutil python_discovery python_dotenv
python_json_logger python_multipart python_slugify pytokens pyyaml pyyaml_ft pyzmq referencing
requests requests_oauthlib rfc3339_validator rfc3986_validator rfc3987_syntax rich rich_argparse
rich_toolkit rpds rpds_py ruamel ruamel_yaml ruamel_yaml_clib ruff s3fs s3transfer scikit_learn
scipy scmrepo semver send2trash setproctitle setuptools shellingham shortuuid shtab six sklearn
skops smmap sniffio soupsieve sqlalchemy sqlparse sqltrie sshfs stack_data starlette streamlit
structlog svcs tabulate tenacity termcolor terminado test tests text_unidecode threadpoolctl
tinycss2 tokenize_rt tomli tomlkit tornado tqdm traitlets typer typing_extensions
typing_inspection tzdata tzlocal universal_pathlib uri_template urllib3 uuid6 uv uvicorn uvloop
validate vine virtualenv voluptuous watchdog watchfiles wcwidth webcolors webencodings
websocket_client websockets werkzeug wirerope wrapt xgboost xgboost_cpu yaml yarl zc zc_lockfile
zipp zmq
""".split())


def refused_texts(answers: dict[str, str]) -> Iterator[str]:
    """Errors in the free texts."""
    if not answers["project_name"].strip():
        yield "project_name is empty; type a name such as My Project."
    for question in ("project_name", "description", "author"):
        if any(unicodedata.category(letter) in UNPRINTABLE for letter in answers[question]):
            yield f"{question} holds a line break or control character; type it on one line."


def refused_slug(slug: str) -> Iterator[str]:
    """Errors in the name for PyPI and pip."""
    words = slug.split("-")
    if not all(word.isascii() and word.isalnum() and word == word.lower() for word in words):
        yield f"project_slug {slug!r} is no PyPI name; type a-z, 0-9 and single hyphens: my-project."
    elif slug.replace("-", "_") in RESERVED:
        yield f"project_slug {slug!r} is a package that the project installs; type another name."


def refused_package(name: str) -> Iterator[str]:
    """Errors in the name of the package for Python's import."""
    is_plain = name.isascii() and name.isidentifier() and name == name.lower() and name[0] != "_"
    if not is_plain or keyword.iskeyword(name):
        yield f"package_name {name!r} cannot be imported; type a-z, 0-9 and _, as in my_project."
    elif name in sys.stdlib_module_names:
        yield f"package_name {name!r} is a module of Python itself; type another name."
    elif name in RESERVED:
        yield f"package_name {name!r} hides a package that the project needs; type another name."
    elif len(name) > 50:
        yield f"package_name {name!r} is longer than 50 characters; type a shorter name."


def refused_choices(answers: dict[str, str]) -> Iterator[str]:
    """Choices that a replayed or edited answer file made up."""
    for question, choices in CHOICES.items():
        if answers[question] not in choices:
            yield f"{question} {answers[question]!r} is unknown; type one of {', '.join(choices)}."


def refusals(answers: dict[str, str]) -> Iterator[str]:
    """One sentence for each bad answer."""
    yield from refused_texts(answers)
    yield from refused_slug(answers["project_slug"])
    yield from refused_package(answers["package_name"])
    yield from refused_choices(answers)


if __name__ == "__main__":
    sys.exit("\n".join(refusals(COOKIECUTTER)) or None)
