"""Editors and programs at the prompt, the real ones, with the settings that docs/editors.md gives for them.

Each runs where its program is (programs.py says where that is looked for, docs/api-tests.md how it comes there). The
model is of random weights: what is tested is that its words come where the user reads them.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest_e2e import PATIENCE_S, Home, end, new_home
from programs import PLACE
from programs import program as found
from random_models import install

VIM = """
set nocompatible
set rtp+={plugin}
let g:llama_config = {{'endpoint_fim': '{base}/infill', 'endpoint_inst': '{base}/v1/chat/completions',
    \\ 'model_fim': 'tiny:fim', 'model_inst': 'tiny:llama', 't_max_predict_ms': 5000}}
runtime plugin/llama.vim
call setline(1, ['def add(a, b):', '    return ', '', 'print(add(1, 2))'])
call cursor(2, 11)
call llama#init()
call llama#enable()
call llama#fim(10, 1, v:false, [], v:false)
call wait({patience}000, {{-> len(g:cache_data) > 0}}, 100)
call writefile([json_encode(g:cache_data)], '{result}')
qa!
"""

EMACS = """
(dolist (place (directory-files "{elisp}" t "^[^.]")) (add-to-list 'load-path place))
(require 'compat) (require 'transient) (require 'gptel) (require 'gptel-curl)
(require 'gptel-openai) (require 'gptel-ollama)
(defun said (backend stream)
  (let ((done nil) (text ""))
    (setq gptel-use-curl t gptel-backend backend gptel-model 'tiny:llama gptel-max-tokens 8)
    (with-temp-buffer
      (gptel-request "Say hi." :stream stream :callback
        (lambda (response info)
          (cond ((stringp response) (setq text (concat text response)) (unless stream (setq done "whole")))
                ((eq response t) (setq done "streamed"))
                (t (setq done (format "%S %S" response (plist-get info :status)))))))
      (with-timeout ({patience}) (while (not done) (accept-process-output nil 0.1))))
    (princ (format "%s: %d characters\\n" done (length text)))))
(let ((openai (gptel-make-openai "a" :host "{host}" :protocol "http" :stream t :key "none" :models '(tiny:llama)))
      (ollama (gptel-make-ollama "b" :host "{host}" :stream t :models '(tiny:llama))))
  (said openai nil) (said openai t) (said ollama nil) (said ollama t))
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = new_home(tmp_path_factory.mktemp("tiny"), None)
    try:
        kinds = {"tiny:llama": "llama", "tiny:fim": "fim"}
        settings = 'chat_model = "tiny:llama"\ncontext = 4096\n'
        install(made, tmp_path_factory.mktemp("files"), kinds, settings, context=4096)
        made.start()
        yield made
    finally:
        end(made)


def run(place: Path, program: str, *arguments: str, **settings: str) -> str:
    """What a program writes to stdout. It must end well, and knows of nobody's settings but those given."""
    command = found(program)
    assert command is not None
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TERM") if name in os.environ}
    done = subprocess.run(
        [command, *arguments],
        env={**kept, "HOME": str(place), "XDG_CACHE_HOME": str(place), **settings},
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.needs("nvim")
def test_llama_vim_gets_its_completion_with_every_field_that_it_keeps(tiny: Home, tmp_path: Path) -> None:
    result = tmp_path / "cache.json"
    base = tiny.url.removesuffix("/v1")
    script = VIM.format(plugin=PLACE / "llama.vim", base=base, result=result, patience=150)
    (tmp_path / "run.vim").write_text(script)
    run(tmp_path, "nvim", "--headless", "-u", "NONE", "-S", "run.vim")
    (kept,) = json.loads(result.read_text()).values()
    answer = json.loads(kept)
    assert answer["content"]
    assert answer["tokens_cached"] > 20
    assert answer["timings/predicted_n"] > 0


@pytest.mark.needs("emacs")
def test_gptel_reads_whole_answers_and_streams_in_both_of_its_dialects(tiny: Home, tmp_path: Path) -> None:
    script = EMACS.format(elisp=PLACE / "elisp", host=f"127.0.0.1:{tiny.port}", patience=100)
    (tmp_path / "run.el").write_text(script)
    said = run(tmp_path, "emacs", "--batch", "--quick", "--load", "run.el")
    answers = re.findall(r"(\w+): (\d+) characters", said)
    assert [how for how, _ in answers] == ["whole", "streamed", "whole", "streamed"], said
    assert all(int(count) for _, count in answers), said


@pytest.mark.needs("llm")
def test_llm_prints_an_answer(tiny: Home, tmp_path: Path) -> None:
    entry = f"- model_id: localmind\n  model_name: tiny:llama\n  api_base: {tiny.url}\n"
    (tmp_path / "extra-openai-models.yaml").write_text(entry)
    asked = ("-m", "localmind", "-o", "max_tokens", "8", "-o", "temperature", "0", "Say hi.")
    assert run(tmp_path, "llm", *asked, LLM_USER_PATH=str(tmp_path)).strip()


@pytest.mark.needs("aider")
def test_aider_asks_and_shows_what_it_was_answered(tiny: Home, tmp_path: Path) -> None:
    name = "openai/tiny:llama"
    (tmp_path / "a.py").write_text("print(1)\n")
    (tmp_path / ".aider.model.settings.yml").write_text(f"- name: {name}\n  extra_params: {{stop: [e]}}\n")
    options = ("--no-git", "--yes-always", "--no-check-update", "--analytics-disable", "--no-show-model-warnings")
    more = ("--no-show-release-notes", "--map-tokens", "0", "--edit-format", "ask", "--no-pretty")
    settings = {"OPENAI_API_BASE": tiny.url, "OPENAI_API_KEY": "none"}
    said = run(tmp_path, "aider", "--model", name, *options, *more, "--message", "Say hi.", "a.py", **settings)
    assert re.search(r"Tokens: [\d.]+k? sent, [1-9]\d* received", said), said
    assert (tmp_path / "a.py").read_text() == "print(1)\n"
