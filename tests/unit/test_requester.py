"""A requester's commands on a served chain: what must fail costs nothing; weights come with a receipt."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from gavel.jobs import open_job
from gavel.scenarios.job import small_job, small_setup
from protocol.chain.client import Client
from protocol.chain.deployment import deploy
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider, frozen_clock
from protocol.errors import ChainError, GavelError, MalformedError, MismatchError, RefusedError, UsageError
from protocol.job_folder import JobFolder
from tests.support.commands import SMALL, TERMS, Town, served


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with served() as devnet:
        yield Town.founded(devnet, tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def finished(town: Town) -> Path:
    """A job that is opened, trained to its end and final; the trainer's copy lies beside it."""
    folder = town.folder / "finished"
    town.done("requester", "job", "new", SMALL, folder, *TERMS, "--yes")
    theirs = town.folder / "theirs"
    shutil.copytree(folder, theirs)
    town.done("trainer", "train", theirs, "--segments", 4)
    town.done("trainer", "submit", theirs)
    town.pass_time(3600)
    return folder


# ------------------------------------------------------------------ job new


def test_a_dry_run_needs_no_chain_and_writes_nothing(town: Town, tmp_path: Path) -> None:
    out = town.done("poor", "job", "new", SMALL, tmp_path / "job", *TERMS, "--dry-run", chain=False)
    for said in ("71: ", "Adam", "4 of 3 steps", "12 rows", "10 minutes", "20 % is burned", "30 days after"):
        assert said in out
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize(
    ("who", "options", "error", "message"),
    [
        ("requester", [], UsageError, "nobody to ask"),
        ("poor", ["--yes"], ChainError, "has 0 bond tokens, the rewards are 2,000,000"),
        ("requester", ["--yes", "--money", "update_bond=1"], RefusedError, "update bond too small"),
        ("requester", ["--yes", "--money", "reward=0"], RefusedError, "no reward"),
        ("requester", ["--yes", "--money", "burn_bps=9500"], RefusedError, "burned share"),
        ("requester", ["--yes", "--money", f"reward={10**30}"], ChainError, "bond tokens, the rewards are"),
        ("requester", ["--yes", "--batch", "13"], GavelError, "takes 13 rows"),
        ("requester", ["--yes", "--initial", "none.safetensors"], MalformedError, "cannot be read"),
    ],
)
def test_what_must_fail_sends_nothing_and_leaves_nothing(
    who: str, options: list[str], error: type[GavelError], message: str, town: Town, tmp_path: Path
) -> None:
    before = town.sent(who)
    result = town.run(who, "job", "new", SMALL, tmp_path / "job", *TERMS, *options)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert town.sent(who) == before
    assert not (tmp_path / "job").exists()


def test_a_folder_with_something_in_it_is_left_alone(town: Town, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    result = town.run("requester", "job", "new", SMALL, tmp_path, *TERMS, "--yes")
    assert "not an empty folder" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_an_account_without_coins_is_told_so(town: Town, tmp_path: Path) -> None:
    key = bytes(31) + b"\x07"
    contracts = town.contracts()
    contracts.token.send("transfer", Client.connect(town.devnet.url, key=key).address, 10**9)
    (tmp_path / "key").write_text(key.hex())
    (tmp_path / "key").chmod(0o600)
    result = town.run(
        "poor", "job", "new", SMALL, tmp_path / "job", *TERMS, "--yes", "--key-file", tmp_path / "key"
    )
    assert isinstance(result.exception, ChainError)
    assert "has 0 coins and may need" in str(result.exception)
    assert key.hex() not in result.output
    assert not (tmp_path / "job").exists()


def test_a_stale_node_is_refused_by_name() -> None:
    from gavel.preflight import check_fresh

    chain = EmbeddedChain(accounts=1, genesis_time=1_700_000_000, clock=frozen_clock)
    with pytest.raises(ChainError, match=r"latest block is [\d,]+ s old"):
        check_fresh(Client(EmbeddedProvider(chain)))


def test_the_folder_of_a_job_that_the_board_refuses_is_gone_again(town: Town, tmp_path: Path) -> None:
    contracts = town.contracts()
    job = small_job(
        chain_id=contracts.client.chain_id,
        board=contracts.board.address_bytes,
        requester=contracts.account,
        expiry=contracts.client.now() + 10**6,
    )
    open_job(contracts, job, tmp_path / "first")
    before = town.sent("requester")
    with pytest.raises(RefusedError, match="job exists"):
        open_job(contracts, job, tmp_path / "second")
    # the approval was sent; the job was tried on the node, and not sent
    assert town.sent("requester") == before + 1
    assert [path.name for path in tmp_path.iterdir()] == ["first"]
    contracts.token.send("approve", contracts.board.address, 0)


def test_on_a_terminal_the_question_is_asked_and_no_is_no(town: Town, tmp_path: Path) -> None:
    before, (ours, theirs) = town.sent("requester"), pty.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gavel", "job", "new", SMALL, str(tmp_path / "job"), *TERMS),
            *("--rpc", town.devnet.url, "--deployment", str(town.deployment)),
        ],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"GAVEL_KEY": "0x" + town.key("requester").hex()},
    )
    os.write(ours, b"n\n")
    told, _ = process.communicate(timeout=120)
    assert process.returncode == UsageError.exit_code
    assert "Pay 2,000,000 tokens (smallest unit) into this job?" in told.replace("2 x 10^6", "2,000,000")
    assert "not answered with yes, so nothing was done" in told
    assert town.sent("requester") == before
    assert not (tmp_path / "job").exists()


def test_only_the_reward_is_approved_and_options_win_over_the_file(town: Town, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(
        f'entry = "{SMALL}"\nfolder = "job"\nsteps = 12\nstride = 3\nbatch = 5\npreset = "minimal"\n'
        "[money]\nreward = 1234\ntip = 99\n"
    )
    before = town.tokens("requester")
    out = town.done("requester", "job", "new", tmp_path / "job.toml", "--yes", "--money", "reward=1235")
    job = JobFolder.load(tmp_path / "job").job
    assert (job.money.reward, job.money.tip) == (1235, 99)
    assert f"0x{job.job_id.hex()}" in out
    assert before - town.tokens("requester") == 4 * 1235
    contracts = town.contracts()
    allowed = contracts.token.view("allowance", contracts.client.address, contracts.board.address)
    assert allowed == 0


# ------------------------------------------------------------------ another board than the job's


def test_every_command_says_that_the_board_does_not_know_the_job(
    town: Town, finished: Path, tmp_path: Path
) -> None:
    other = replace(town, folder=tmp_path)
    deploy(other.client("requester")).deployment.save(other.deployment)
    sent = town.sent("trainer")
    for command in (
        ["status", finished],
        ["quote", finished],
        ["train", finished, "--segments", 1],
        ["submit", town.folder / "theirs"],
        ["defend", finished, "--once"],
        ["trainer", "run", finished],
        ["watch", finished, "--dry-run", "--once"],
    ):
        result = other.run("trainer", *command)
        assert isinstance(result.exception, MismatchError), (command, result.output)
        assert "does not know job" in str(result.exception)
    assert town.sent("trainer") == sent


# ------------------------------------------------------------------ the way to the weights


def test_before_anything_is_final_it_is_said_when(town: Town, tmp_path: Path) -> None:
    town.done("requester", "job", "new", SMALL, tmp_path / "job", *TERMS, "--yes", "--days", "1")
    out = tmp_path / "model.safetensors"
    assert "nothing stands" in str(town.run("requester", "job", "fetch", tmp_path / "job", out).exception)
    shutil.copytree(tmp_path / "job", tmp_path / "theirs")
    town.done("trainer", "train", tmp_path / "theirs", "--segments", 1)
    town.done("trainer", "submit", tmp_path / "theirs")
    result = town.run("requester", "job", "fetch", tmp_path / "job", out)
    assert isinstance(result.exception, UsageError)
    assert "the first one can be after 2096-" in str(result.exception)
    assert not out.exists()

    # U-9: what a requester asks for too early is refused with the time at which it will be possible
    for command, message in (("refund", "it ends at 2096-"), ("evict", "has time until 2096-")):
        result = town.run("requester", "job", command, tmp_path / "job")
        assert isinstance(result.exception, RefusedError)
        assert message in str(result.exception)
    result = town.run("trainer", "job", "cancel", tmp_path / "job")
    assert isinstance(result.exception, RefusedError)
    assert "not the requester" in str(result.exception)
    town.done("requester", "job", "cancel", tmp_path / "job")
    assert "nothing to do" in town.done("requester", "job", "cancel", tmp_path / "job")
    town.pass_time(301)
    result = town.run("requester", "job", "refund", tmp_path / "job")
    assert "1 of them, 0 under dispute; not before 2096-" in str(result.exception)
    town.pass_time(900)
    town.done("requester", "job", "evict", tmp_path / "job")
    before = town.tokens("requester")
    out_text = town.done("requester", "job", "refund", tmp_path / "job")
    money = JobFolder.load(tmp_path / "job").job.money
    kept = money.lease_deposit * (10_000 - money.burn_bps) // 10_000
    assert town.tokens("requester") - before == 3 * money.reward + kept
    assert "withdrew" in out_text
    assert "refunded" in str(town.run("requester", "job", "refund", tmp_path / "job").exception)
    assert "nothing to withdraw" in str(town.run("requester", "job", "withdraw").exception)


def _receipt(out: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(out.with_name(out.stem + ".receipt.json").read_text())
    return data


def test_weights_come_with_a_receipt(town: Town, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    town.done("requester", "job", "fetch", finished, out, "--store", town.folder / "theirs" / "checkpoints")
    setup = small_setup()
    setup.module.load_state_dict(load_file(out))

    receipt, job = _receipt(out), JobFolder.load(finished).job
    assert receipt["weights"]["sha256"] == "0x" + sha256(out.read_bytes()).hexdigest()
    assert receipt["job"] | {"terms": 0} == {
        "id": "0x" + job.job_id.hex(), "terms": 0, "segments": 4, "final_segments": 4, "complete": True
    }  # fmt: skip
    assert [int(word, 16) for word in receipt["job"]["terms"]] == list(job.words())
    (update,) = receipt["updates"]
    assert update["status"] == "final"
    assert update["states"][-1] == receipt["weights"]["state"]
    assert update["trainer"] == town.client("trainer").address.lower()
    posted = update["transactions"]["posted"]
    web3 = town.client("poor").web3
    for entry in (posted, receipt["opened"]):
        assert web3.eth.get_transaction_receipt(entry["transaction"])["blockNumber"] == entry["block"]
        assert web3.eth.get_block(entry["block"])["timestamp"] == entry["time"]
    assert update["final_after"] == posted["time"] + 600 + 4 * 10 + 120
    assert update["transactions"]["claimed"] is None
    checks = {check["what"]: check for check in receipt["checks"]}
    assert "none of 4 segments was computed here" in checks["segments"]["result"]
    assert "store" in checks["state"]["result"]
    for name, contract in receipt["chain"]["contracts"].items():
        code = web3.eth.get_code(contract["address"])
        assert contract["sha256"] == "0x" + sha256(code).hexdigest(), name


def test_replayed_weights_are_the_same_bytes(town: Town, finished: Path, tmp_path: Path) -> None:
    store, theirs = tmp_path / "stored.safetensors", town.folder / "theirs" / "checkpoints"
    town.done("requester", "job", "fetch", finished, store, "--store", theirs)
    for number, options in enumerate(([], ["--replay", "--store", theirs])):
        out = tmp_path / f"replayed{number}.safetensors"
        told = town.done("requester", "job", "fetch", finished, out, *options)
        assert out.read_bytes() == store.read_bytes()
        assert "segments 1 to 4 of 4 computed here" in told


def test_a_store_that_lies_is_named_and_passed_over(town: Town, finished: Path, tmp_path: Path) -> None:
    liar = tmp_path / "liar"
    shutil.copytree(town.folder / "theirs" / "checkpoints", liar)
    last = JobFolder.load(finished)
    (root,) = [c["states"][-1] for c in _fetched(town, finished, tmp_path)["updates"]]
    path = liar / "objects" / f"{root[2:]}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    out = tmp_path / "model.safetensors"
    told = town.done("requester", "job", "fetch", finished, out, "--store", liar)
    assert "passed over: the state after 4 segments" in told
    # the three states before it were right, so one segment had to be computed
    assert "segments 4 to 4 of 4 computed here" in told
    assert any("liar" in check["result"] for check in _receipt(out)["checks"])
    assert len(load_file(out)) == len([s for s in last.program.slots if not s.name.startswith("optimizer.")])


def _fetched(town: Town, folder: Path, tmp_path: Path) -> dict[str, Any]:
    town.done("requester", "job", "fetch", folder, tmp_path / "first.safetensors")
    return _receipt(tmp_path / "first.safetensors")


def test_what_is_there_is_not_overwritten_unless_forced(town: Town, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    out.write_text("mine")
    assert isinstance(town.run("requester", "job", "fetch", finished, out).exception, UsageError)
    assert out.read_text() == "mine"
    town.done("requester", "job", "fetch", finished, out, "--force")
    load_file(out)
    missing = tmp_path / "no" / "model.safetensors"
    assert "there is no folder" in str(town.run("requester", "job", "fetch", finished, missing).exception)


def test_weights_and_receipt_appear_together_or_not_at_all(
    town: Town, finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.receipt.json").mkdir()  # nothing can be moved to its place
    out = tmp_path / "model.safetensors"
    result = town.run("requester", "job", "fetch", finished, out, "--force")
    assert isinstance(result.exception, GavelError)
    assert [path.name for path in tmp_path.iterdir()] == ["model.receipt.json"]


def test_final_weights_that_a_replay_contradicts_are_not_written(
    town: Town, finished: Path, tmp_path: Path
) -> None:
    """Nobody watched, and something wrong has become final: a full replay is what finds it."""
    town.done("requester", "job", "new", SMALL, tmp_path / "job", *TERMS, "--yes")
    shutil.copytree(tmp_path / "job", tmp_path / "cheat")
    hooks = ("--hooks", f"{__name__}:cheat")
    town.done("trainer", "train", tmp_path / "cheat", "--segments", 2, *hooks)
    town.done("trainer", "submit", tmp_path / "cheat")
    town.pass_time(3600)
    out = tmp_path / "model.safetensors"
    result = town.run("requester", "job", "fetch", tmp_path / "job", out, "--replay")
    assert isinstance(result.exception, MismatchError)
    assert "a replay ends segment 2 in state" in str(result.exception)
    assert not out.exists()


def cheat(_folder: JobFolder) -> Any:
    """One bit of the second slot after step 4, in the second segment."""
    from protocol.game.trace import Hooks

    def changed(step: int, _before: Any, after: Any) -> Any:
        if step != 4:
            return after
        wrong = [words.copy() for words in after]
        wrong[1][0] ^= 1
        return wrong

    return Hooks(next_state=changed)
