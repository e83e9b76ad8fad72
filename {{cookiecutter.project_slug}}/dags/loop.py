"""DAGs of Airflow 3: a turn of the loop, a training in seven steps, batch scoring.

Tasks run verbs in the project's own environment, so that Airflow's needs nothing of it. The
Variable `project` is the folder of a clone that belongs to Airflow alone: docs/operations.md.
"""

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from shlex import quote

from airflow.sdk import Variable, chain, dag, task

PACKAGE = "{{ cookiecutter.package_name }}"
STEPS = {  # the last stage of dvc.yaml that each runs
    "validate_data": "validate",
    "prepare": "featurize",
    "train": "train",
    "evaluate": "evaluate",
    "validate_model": "register",
}
GIT = "git -c core.hooksPath=/dev/null -c user.name=Airflow -c user.email=airflow@localhost"
BATCH = "data/batches/%Y-%m-%d.*"


def script(*lines: str) -> str:
    """A script in the project, with the tools of its environment."""
    project = quote(Variable.get("project"))
    start = f'set -euo pipefail; cd {project}; PATH="$PWD/.venv/bin:$PATH"; export TRIGGER=airflow'
    return "\n".join([start, *lines])


def notify(event: str, text: str) -> None:
    """Send a message in the ways that .env of the project names."""
    command = f"python -m {PACKAGE}.monitoring notify --EVENT={quote(event)} --TEXT={quote(text)}"
    subprocess.run(["bash", "-c", script(command)], check=True)


def notify_failure(context) -> None:
    """Send a message of a task whose last try failed."""
    failed = context["ti"]
    notify("task failed", f"{failed.dag_id}.{failed.task_id}: {context['exception']}")


def find_time(dag_run) -> datetime:
    """The time that a run is for; one that is started by hand may have no logical date."""
    return dag_run.logical_date or dag_run.run_after


SETTINGS = {
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {"retries": 2, "on_failure_callback": notify_failure},
    "tags": [PACKAGE],
}


@dag(schedule="0 4 * * *", **SETTINGS)
def loop():
    """Check the champion, respond, and retrain where there is reason to."""

    @task.bash
    def turn():
        return script(f"python -m {PACKAGE}.monitoring loop")

    turn()


@dag(schedule="0 5 * * *", **SETTINGS)
def training():
    """Train on the `export` days that end `delay` days ago (0: no limit), and promote if better."""

    @task.bash
    def extract(dag_run=None):
        time = find_time(dag_run)
        delay, export = (int(Variable.get(*known)) for known in (("delay", 15), ("export", 30)))
        end, branch = time.date() - timedelta(days=delay), f"airflow/{time:%Y%m%dT%H%M%S}"
        since, until = end - timedelta(days=export) if export else "", end if delay else ""
        return script(
            f"if ! {GIT} diff --quiet HEAD -- . ':!dvc.lock' ':!reports'; then",
            '    echo "$PWD has changes that no commit has: give Airflow its own clone."; exit 1',
            "fi",
            f"{GIT} fetch --quiet origin",
            # Repeated, a run goes on with the code that it began with.
            f"{GIT} switch --quiet --discard-changes {branch} 2> /dev/null ||",
            f"    {GIT} switch --quiet --discard-changes --create {branch} origin/HEAD",
            f"python -m {PACKAGE}.monitoring window --SINCE={since} --UNTIL={until}",
            f"{GIT} commit --quiet --allow-empty --message 'Window of {branch}' params.yaml",
            f"python -m {PACKAGE} pipeline --stage=ingest",
        )

    @task.bash
    def run_stages(last):
        return script(f"python -m {PACKAGE} pipeline --stage={last}")

    @task.bash
    def upload():
        return script(
            f"{GIT} add dvc.lock reports",
            f"{GIT} commit --quiet --allow-empty --message Results",
            'test -z "$(dvc remote list)" || dvc push --quiet',
            f"{GIT} push --quiet origin HEAD",
        )

    @task.short_circuit
    def is_promoted():
        gate = json.loads(Path(Variable.get("project"), "reports/gate.json").read_text())
        is_new = gate["alias"] == "champion" and gate["version"] != gate["champion_version"]
        return is_new and gate

    @task
    def announce(gate):
        notify("promoted", f"version {gate['version']}: {'; '.join(gate['reasons'])}")

    steps = [run_stages.override(task_id=name)(last) for name, last in STEPS.items()]
    chain(extract(), *steps, upload(), gate := is_promoted())
    announce(gate)


@dag(schedule="0 6 * * *", **SETTINGS)
def batch_scoring():
    """Score the last file that the Variable `batch` matches, by default that of the day."""

    @task.bash
    def score(dag_run=None):
        files = find_time(dag_run).strftime(Variable.get("batch", default=BATCH))
        return script(
            f"file=$(ls -d {files} | tail -n 1)",
            f'python -m {PACKAGE}.serving batch --INPUT="$file" --TABLE=scores',
        )

    score()


DAGS = [training(), batch_scoring(), loop()]

if __name__ == "__main__":  # make airflow-test
    day = datetime.fromisoformat(f"{sys.argv[1]}T00:00+00:00")
    sys.exit(any(each.test(logical_date=day).state != "success" for each in DAGS))
