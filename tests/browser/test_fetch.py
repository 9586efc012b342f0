from __future__ import annotations

import httpx
from freshwire.testing import LiveNode

from tests.waiting import block_until

from .conftest import Open
from .pages import Pages

WAIT = """async (seconds) => {
  const have = await fetch("/match")
  window.first = await have.json()
  const headers = {"If-None-Match": have.headers.get("ETag"), "Prefer": `wait=${seconds}`}
  window.answer = fetch("/match", {headers}).then(async (answer) => {
    window.status_code = answer.status
    window.then = answer.status === 200 ? await answer.json() : null
  })
}"""


def test_a_long_poll_answers_when_the_resource_changes(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate(WAIT, 20)
    block_until(lambda: live.stats()["watchers"] == 1)
    httpx.post(f"{live.url}/goal")
    page.evaluate("answer")
    assert page.evaluate("[first, status_code, then]") == [{"goals": 0}, 200, {"goals": 1}]


def test_a_long_poll_whose_wait_is_over_is_304(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate(WAIT, 1)
    page.evaluate("answer")
    assert page.evaluate("[status_code, then]") == [304, None]


def test_a_page_reads_what_it_wrote(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    seen = page.evaluate(
        """async () => {
          const seen = []
          for (let goal = 0; goal < 20; goal++) {
            await fetch("/goal", {method: "POST"})
            seen.push((await (await fetch("/match")).json()).goals)
          }
          return seen
        }"""
    )
    assert seen == list(range(1, 21))


def test_many_at_once_get_each_an_answer(site: Pages, live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    answers = page.evaluate(
        """() => Promise.all(Array.from({length: 100}, async (_, n) => {
          const answer = await fetch("/match?" + (n % 10))
          return [answer.status, (await answer.json()).goals]
        }))"""
    )
    assert answers == [[200, 0]] * 100
