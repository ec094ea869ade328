"""`gavel doctor`: what it finds, what it says to do, and the status that it ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from gavel.cli import cli
from gavel.commands.shared import KEY_VARIABLE
from gavel.doctor import environment, numerics
from gavel.doctor.chain import check_chain
from gavel.doctor.environment import check_environment
from gavel.doctor.findings import Finding, Level, attempted, exit_code, failure, good, warning
from gavel.setup import TrainingSetup
from protocol.chain.deployment import Deployment
from protocol.chain.devnet import Devnet
from protocol.chain.embedded import EmbeddedChain, frozen_clock
from protocol.errors import (
    ChainError,
    MalformedError,
    MismatchError,
    StorageError,
    UnsupportedError,
    UsageError,
)
from tests.support.commands import Town, served


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with served() as devnet:
        yield Town.founded(devnet, tmp_path_factory.mktemp("town"))


def _chain(town: Town, who: str, **change: Any) -> dict[str, Finding]:
    findings = check_chain(
        change.get("rpc", town.devnet.url),
        change.get("deployment", town.deployment),
        change.get("key", lambda: town.key(who)),
    )
    return {f"{f.group}: {f.name}": f for f in findings}


# ------------------------------------------------------------------ numerics


def test_golden_roots_are_those_of_this_version() -> None:
    """Stale? ``python -m gavel.doctor.numerics`` writes them anew: other bits of every job."""
    assert json.loads(numerics.GOLDEN.read_text()) == numerics.compute_roots()


@pytest.mark.parametrize(
    ("key", "named"),
    [("program", "program root"), ("inputs", "inputs root"), ("states", "state before step 5")],
)
def test_other_roots_are_a_mismatch(
    key: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = json.loads(numerics.GOLDEN.read_text())
    if key == "states":
        golden[key][5:] = ["00" * 32] * len(golden[key][5:])
    else:
        golden[key] = "00" * 32
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    monkeypatch.setattr(numerics, "GOLDEN", tmp_path / "golden.json")
    (found,) = numerics.check_numerics()
    assert (found.level, found.exit_code) == (Level.FAIL, MismatchError.exit_code)
    assert named in found.detail
    assert "do not train or watch" in found.advice


# ------------------------------------------------------------------ machine


def test_this_machine_is_good_enough(tmp_path: Path) -> None:
    findings = list(check_environment(tmp_path, tmp_path / "cache"))
    assert exit_code(findings) == 0
    assert {"Python", "torch", "numba", "flush-to-zero", "memory", "disk", "cache"} <= {
        f.name for f in findings
    }


def test_flush_to_zero_is_found_in_the_thread_that_has_it(tmp_path: Path) -> None:
    script = (
        "import torch, sys; from pathlib import Path; from gavel.doctor.environment import check_environment;"
        "torch.set_flush_denormal(True);"
        f"found = {{f.name: f for f in check_environment(Path({str(tmp_path)!r}), Path({str(tmp_path)!r}))}};"
        "print(found['flush-to-zero'].level.value, found['flush-to-zero'].exit_code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["FAIL", str(UnsupportedError.exit_code)]


def test_another_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "TORCH", "1.0")
    found = {f.name: f for f in check_environment(tmp_path, tmp_path)}
    assert found["torch"].level is Level.FAIL
    assert "install torch 1.0" in found["torch"].advice


def test_a_folder_that_cannot_be_written_fails_and_a_cache_only_warns(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    inside = tmp_path / "file" / "folder"
    found = {f.name: f for f in check_environment(inside, inside)}
    assert (found["disk"].level, found["disk"].exit_code) == (Level.FAIL, StorageError.exit_code)
    assert found["cache"].level is Level.WARN
    assert "GAVEL_CACHE" in found["cache"].advice


# ------------------------------------------------------------------ node, key, contracts


def test_a_good_node_key_and_deployment(town: Town) -> None:
    found = _chain(town, "requester")
    assert [name for name, f in found.items() if f.level is Level.FAIL] == []
    assert found["contracts: code and wiring"].level is Level.OK
    assert found["key: bond tokens"].level is Level.OK
    assert town.client("requester").address in found["key: present"].detail
    # the chain's time was moved far ahead of this machine's
    assert found["node: latest block"].level is Level.WARN


def test_an_account_without_tokens_is_warned(town: Town) -> None:
    found = _chain(town, "poor")
    assert found["key: bond tokens"].level is Level.WARN
    assert exit_code(found.values()) == 0


def test_a_node_that_does_not_answer(town: Town) -> None:
    found = _chain(town, "requester", rpc="http://user:hidden@127.0.0.1:9/hidden?hidden")
    assert found["node: reachable"].level is Level.FAIL
    assert found["node: reachable"].detail == "no answer from http://127.0.0.1:9"
    assert exit_code(found.values()) == ChainError.exit_code
    assert "node: chain id" not in found


def test_a_node_of_another_chain(town: Town, tmp_path: Path) -> None:
    replace(Deployment.load(town.deployment), chain_id=1).save(tmp_path / "other.json")
    found = _chain(town, "requester", deployment=tmp_path / "other.json")
    assert "31337, the deployment is on 1" in found["node: chain id"].detail
    assert exit_code(found.values()) == ChainError.exit_code
    assert "contracts: code and wiring" not in found


def test_a_stale_node(town: Town) -> None:
    chain = EmbeddedChain(accounts=1, genesis_time=1_700_000_000, clock=frozen_clock)
    with Devnet(chain, port=0, block_time=3600) as devnet:
        found = _chain(town, "requester", rpc=devnet.url)
    assert found["node: latest block"].level is Level.FAIL
    assert "wait until the node has caught up" in found["node: latest block"].advice
    # and it is empty: the contracts are not there
    assert found["contracts: code and wiring"].exit_code == MismatchError.exit_code


def test_other_contracts(town: Town, tmp_path: Path) -> None:
    where = Deployment.load(town.deployment)
    replace(where, board=where.court).save(tmp_path / "other.json")
    found = _chain(town, "requester", deployment=tmp_path / "other.json")
    assert found["contracts: code and wiring"].exit_code == MismatchError.exit_code
    assert "code of the board" in found["contracts: code and wiring"].detail
    (tmp_path / "bad.json").write_text("{}")
    found = _chain(town, "requester", deployment=tmp_path / "bad.json")
    assert found["contracts: deployment"].exit_code == MalformedError.exit_code


def test_no_key_is_a_warning_and_a_wrong_one_a_failure_that_never_shows_it(town: Town) -> None:
    def none() -> bytes:
        raise UsageError("no private key: set it")

    found = _chain(town, "requester", key=none)
    assert found["key: present"].level is Level.WARN
    assert "key: coins" not in found
    for wrong in ("f" * 64, "0" * 64, "ab" * 31, "secret words"):
        result = CliRunner().invoke(
            cli,
            ["doctor", "--json", "--rpc", town.devnet.url, "--deployment", str(town.deployment)],
            env={KEY_VARIABLE: wrong},
        )
        report = json.loads(result.output)
        assert result.exit_code == report["exit"] == ChainError.exit_code
        (key,) = [f for f in report["findings"] if (f["group"], f["name"]) == ("key", "present")]
        assert key["level"] == "FAIL"
        assert wrong not in result.output


# ------------------------------------------------------------------ the command


def test_the_table_says_what_to_do_and_the_status_is_the_first_failures(town: Town, tmp_path: Path) -> None:
    result = town.run("requester", "doctor", "--folder", tmp_path)
    assert result.exit_code == 0
    assert "numerics: golden roots" in result.output
    assert "-> set this machine's clock" in result.output
    assert town.key("requester").hex() not in result.output
    result = town.run("requester", "doctor", "--folder", tmp_path, chain=False)
    assert "were not looked at: give --rpc" in result.output


def test_findings() -> None:
    bad = failure("a", "b", "c", "d", StorageError)
    assert exit_code([good("a", "b", "c"), warning("a", "b", "c", "d")]) == 0
    assert exit_code([good("a", "b", "c"), bad, failure("a", "b", "c", "d", ChainError)]) == 8

    def raises() -> str:
        raise ChainError("it is broken; mend it; soon")

    found = attempted("a", "b", raises)
    assert (found.detail, found.advice, found.exit_code) == ("it is broken", "mend it; soon", 7)
    assert json.loads(json.dumps(found.to_json()))["level"] == "FAIL"


def refused_setup() -> TrainingSetup:
    """A training whose output depends on a sort."""

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ((output.sort(dim=1).values - target) ** 2).mean()

    return TrainingSetup(
        module=torch.nn.Linear(3, 2),
        loss=loss,
        optimizer=torch.optim.Adam,
        columns={"x": np.ones((8, 3), np.float32), "y": np.ones((8, 2), np.float32)},
    )


def test_a_model_is_reported_on_without_training_it() -> None:
    good_one = CliRunner().invoke(cli, ["doctor", "--model", "gavel.demo.model:digits_classifier"])
    assert (good_one.exit_code, "supported: 87 nodes" in good_one.output) == (0, True), good_one.output
    place = f"{__name__}:refused_setup"
    bad = CliRunner().invoke(cli, ["doctor", "--model", place])
    assert bad.exit_code == UnsupportedError.exit_code
    assert "refused: aten.sort" in bad.output
    assert "test_doctor.py" in bad.output
    report = json.loads(CliRunner().invoke(cli, ["doctor", "--model", place, "--json"]).output)
    assert report["supported"] is False
    assert any("sort" in refusal["operator"] for refusal in report["refusals"])
