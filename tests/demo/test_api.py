"""The API, under no node: an ordinary application that answers like any other."""

from datetime import datetime

import pytest
from fastapi.testclient import TestClient


@pytest.mark.parametrize("code", ["EWR", "JFK", "LGA"])
def test_a_board_has_what_just_left_and_then_what_is_next(client: TestClient, code: str) -> None:
    board = client.get(f"/airports/{code}/departures").json()
    assert board["airport"]["code"] == code
    assert board["now"].startswith("2013-03-08T15:0")
    assert len(board["departed"]) == 4
    assert len(board["upcoming"]) == 20
    assert {line["status"] for line in board["departed"]} == {"departed"}
    assert {line["status"] for line in board["upcoming"]} <= {"scheduled", "delayed", "cancelled"}
    for lines in (board["departed"], board["upcoming"]):
        times = [line["expected"] for line in lines]
        assert times == sorted(times)
    told = [line for line in board["upcoming"] if line["told"] and line["told"] > "2013-03-08T14:55"]
    assert 0 < len(told) < 20
    assert all(line["origin"]["code"] == code for line in board["upcoming"])
    so_far = board["so_far"]
    assert so_far["departed"] + so_far["delayed"] + so_far["cancelled"] < so_far["flights"]


def test_times_carry_the_offset_of_new_york_on_that_day(client: TestClient) -> None:
    assert client.get("/airports/EWR/departures").json()["now"].endswith("-05:00")
    assert client.get("/flights/200000").json()["scheduled"] == "2013-05-08T06:05:00-04:00"


def test_a_delay_is_the_difference_of_the_times(client: TestClient) -> None:
    for line in client.get("/airports/EWR/departures").json()["upcoming"]:
        late = datetime.fromisoformat(line["expected"]) - datetime.fromisoformat(line["scheduled"])
        assert line["delay_min"] == late.total_seconds() / 60
        assert (line["delay_min"] > 0) == (line["status"] == "delayed")


def test_a_flight_tells_what_was_announced_and_nothing_of_the_future(client: TestClient) -> None:
    for line in client.get("/airports/EWR/departures").json()["upcoming"]:
        flight = client.get(f"/flights/{line['id']}").json()
        assert {key: flight[key] for key in line} == line
        assert all(said["at"] <= flight["now"] for said in flight["announcements"])
        if flight["announcements"]:
            assert flight["announcements"][-1]["expected"] == line["expected"]
        else:
            assert line["status"] == "scheduled"


def test_a_flight_of_another_day_is_shown_as_it_ended(client: TestClient) -> None:
    first = client.get("/flights/1").json()
    assert (first["flight"], first["status"], first["delay_min"]) == ("UA 1545", "departed", 2)
    assert first["plane"]["manufacturer"] == "BOEING"


def test_an_airline_is_searched_page_by_page(client: TestClient) -> None:
    all_of_it = client.get("/flights", params={"airline": "UA", "limit": 200}).json()
    assert all_of_it["total"] == len(all_of_it["flights"]) == 168
    page = client.get("/flights", params={"airline": "UA", "limit": 10, "offset": 160}).json()
    assert page["flights"] == all_of_it["flights"][160:]
    christmas = client.get("/flights", params={"airline": "HA", "day": "2013-12-25"}).json()
    assert [line["destination"]["code"] for line in christmas["flights"]] == ["HNL"]


@pytest.mark.parametrize(
    "path",
    [
        "/airports/LAX/departures",
        "/airports/ewr/departures",
        "/flights/0",
        "/flights/336777",
        "/flights?airline=ZZ",
    ],
)
def test_what_is_not_there_is_404(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "choice",
    [
        {"day": "2014-01-01", "speed": 1},
        {"day": "2013-02-29", "speed": 1},
        {"day": "2013-03-08", "speed": 0},
        {"day": "2013-03-08", "speed": 1e9},
        {"day": "2013-03-08"},
    ],
    ids=str,
)
def test_a_choice_that_cannot_be_is_refused_and_changes_nothing(
    client: TestClient, choice: dict[str, object]
) -> None:
    before = client.get("/replay").json()
    assert client.post("/replay", json=choice).status_code == 422
    assert client.get("/replay").json() == before


def test_when_another_day_is_chosen_the_boards_have_it_at_once(client: TestClient) -> None:
    choice = {"day": "2013-07-10", "speed": 0.5}
    assert client.post("/replay", json=choice).json() == choice
    assert client.get("/replay").json() == choice
    assert client.get("/airports/JFK/departures").json()["day"] == "2013-07-10"


@pytest.mark.parametrize("page", ["/", "/flight.html", "/board.css", "/board.js", "/icon.svg"])
def test_the_pages_need_nothing_from_elsewhere(client: TestClient, page: str) -> None:
    text = client.get(page).raise_for_status().text.replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in text
    assert "https:" not in text
