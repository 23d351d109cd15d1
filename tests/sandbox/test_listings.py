"""Listings: folders, services and versions, in the forms of the real endpoints."""

from __future__ import annotations

from typing import Any


def test_folders_come_in_pages(call: Any) -> None:
    """A page is a part of the list, with the count of the whole."""
    page = call.v1("POST", "/product/list", {"page": 2, "pageSize": 2}).json

    assert [folder["name"] for folder in page["data"]] == ["motor"]
    assert page["count"] == 3
    assert page["status"] == "Success"
    assert page["data"][0]["totalServiceCount"] == 1


def test_folder_search_matches_substrings(call: Any) -> None:
    """A search finds names that contain the text; clients must look again."""
    search = [{"field": "name", "value": "MO"}, {"field": "category", "value": "Other"}]

    found = call.v1("POST", "/product/list", {"search": search}).json["data"]

    assert [folder["name"] for folder in found] == ["motor"]


def test_an_empty_body_lists_everything(call: Any) -> None:
    """No body, and the null that one client sends, mean no wishes."""
    assert len(call.v1("POST", "/product/list").json["data"]) == 3
    assert len(call.v1("POST", "/product/motor/engines", b"null").json["data"]) == 1


def test_services_of_a_folder(call: Any) -> None:
    """Each service is told with its newest version."""
    (service,) = call.v1("POST", "/product/motor/engines", {"page": 1}).json["data"]

    assert (service["serviceName"], service["revision"]) == ("pricing", "1.20.0")


def test_a_folder_holds_its_services(call: Any) -> None:
    """The folder's own endpoint nests the list of services."""
    folder = call.v1("GET", "/product/getproduct/motor?noOfCalculationEngines=5").json["data"]

    assert folder["name"] == "motor"
    assert folder["calculationEngines"]["count"] == 1
    assert folder["calculationEngines"]["data"][0]["serviceName"] == "pricing"


def test_services_are_searched_in_the_whole_tenant(call: Any) -> None:
    """The search names folder, service, newest version and the service's id."""
    search = [{"fieldName": "productname_co", "fieldValue": "life"}]
    body = {"request_data": {"page": 1, "page_size": -1, "search": search, "sort": -1}}

    answer = call("POST", "/api/v3/services/search", body).json

    (hit,) = answer["response_data"]
    exists = call("GET", "/api/v3/folders/life/services/annuity-rates/exists").json
    assert (hit["folderName"], hit["fileName"]) == ("life", "annuity-rates")
    assert hit["version"] == "0.1.0"
    assert hit["id"] == exists["response_data"]["id"]
    assert answer["response_meta"]["count"] == 1


def test_versions_come_newest_first_with_usable_ids(call: Any) -> None:
    """An id from the version list exports exactly that version."""
    versions = call.v1("GET", "/product/motor/engines/getversions/pricing").json["data"]

    status = call.export(inputs={"version_ids": [versions[1]["id"]]})

    assert [version["revision"] for version in versions] == ["1.20.0", "1.4.2", "1.4.1", "1.2.0"]
    exported = status["outputs"]["service_versions"]
    assert [version["version_source"] for version in exported] == ["1.4.2"]


def test_existence_is_told_with_200(call: Any) -> None:
    """A service that is not there has ``is_exists`` false and everything else null."""
    absent = call("GET", "/api/v3/folders/motor/services/absent/exists")

    data = absent.json["response_data"]
    assert absent.status == 200
    assert data.pop("is_exists") is False
    assert set(data.values()) == {None}


def test_folder_names_are_decoded(call: Any) -> None:
    """A percent-encoded segment means the name it stands for."""
    assert call.v1("POST", "/product/isproductexists/m%6Ftor").json["data"] is True
    assert call.v1("POST", "/product/isproductexists/mot").json["data"] is False


def test_unknown_names_are_refused(call: Any) -> None:
    """Lists of what is not there are 404 in the v1 form."""
    folder = call.v1("POST", "/product/absent/engines", {})
    service = call.v1("GET", "/product/motor/engines/getversions/absent")

    assert (folder.status, folder.json["status"]) == (404, "Error")
    assert (service.status, service.json["errorCode"]) == (404, "SERVICE_NOT_FOUND")


def test_invalid_search_is_ignored(call: Any) -> None:
    """Terms in another form do not break the answer."""
    body = {"request_data": {"search": ["x", 1, {}], "page": "one", "page_size": "many"}}

    assert len(call("POST", "/api/v3/services/search", body).json["response_data"]) == 2
