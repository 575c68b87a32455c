#!/usr/bin/python3
"""Makes pages with `nsgsim replay --html`, opens them in Chromium and uses them as a reader would.

    tests/browser/page.py target/debug/nsgsim target/screenshots

To be run at the top of the repository. Needs Debian's packages chromium, chromium-driver and python3-selenium. Writes
pages and pictures into the second folder, and exits with 1 on the first thing that is not as it should be.
"""

import base64
import pathlib
import subprocess
import sys

from selenium import webdriver
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

RULE = "<script>alert(1)</script>"
NSG = '"><img src=x onerror=alert(1)>'
SUBNET = "'><svg onload=alert(1)>"


def check(holds, what):
    if not holds:
        sys.exit(f"page.py: {what}")
    print(f"ok: {what}")


def start():
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    # The sandbox does not run as root, and small containers have little shared memory.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


def resize(driver, width, height=900):
    # The window's least width is larger than a telephone's: the viewport is set, not the window.
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )


def prefer(driver, scheme):
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )


def shoot(driver, folder, name, width):
    """A picture of the whole page."""
    resize(driver, width)
    height = driver.execute_script("return document.documentElement.scrollHeight")
    resize(driver, width, height)
    (folder / f"{name}.png").write_bytes(driver.get_screenshot_as_png())
    resize(driver, width)


def shown_rows(driver, table):
    return [row for row in driver.find_elements(By.CSS_SELECTOR, f"#{table} > tbody > tr") if row.is_displayed()]


def texts(driver, selector):
    """What the elements say, each on its first line."""
    script = "return [...document.querySelectorAll(arguments[0])].map((cell) => cell.firstChild.textContent.trim())"
    return driver.execute_script(script, selector)


def complaints(driver):
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] != "INFO"]


def paper(driver):
    return driver.execute_script("return getComputedStyle(document.body).backgroundColor")


def hostile(folder):
    """The example's network with names that would be markup, were they not text."""
    folder.mkdir(exist_ok=True)
    escaped = NSG.replace('"', '\\"')
    for file in sorted(pathlib.Path("data/example").glob("*.json")):
        text = file.read_text()
        for ending in ('"', "/"):
            text = text.replace(f"/nsg-web{ending}", f"/{escaped}{ending}")
            text = text.replace(f"/snet-web{ending}", f"/{SUBNET}{ending}")
        text = text.replace('"name": "nsg-web"', f'"name": "{escaped}"')
        text = text.replace('"name": "snet-web"', f'"name": "{SUBNET}"')
        (folder / file.name).write_text(text.replace('"name": "DenyWebToDb"', f'"name": "{RULE}"'))


def make(program, network, report):
    arguments = ["replay", "-q", "-s", network, "data/example.pcap", "--no-timing", "--html", report]
    subprocess.run([program, *arguments], check=True, stdout=subprocess.DEVNULL)
    return report.resolve()


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    hostile(folder / "hostile")
    driver = start()
    try:
        distrust(driver, make(program, folder / "hostile", folder / "hostile.html"))
        report = make(program, pathlib.Path("data/example"), folder / "example.html")
        use(driver, report)
        picture(driver, report, folder)
    finally:
        driver.quit()


def distrust(driver, report):
    """Whatever things are called, they stay text."""
    driver.get(report.as_uri())
    check(RULE in texts(driver, "#rules-table > tbody > tr > th"), "a rule named like a script is shown as text")
    check(NSG in texts(driver, "#rules-table > tbody > tr > td:nth-child(2)"), "and so is an NSG named like an image")
    check(SUBNET in texts(driver, "#matrix tbody th"), "and a subnet named like a drawing")
    check(driver.execute_script("return document.scripts.length") == 1, "the page has its own script and no other")
    check(driver.execute_script("return document.images.length") == 0, "no name became an image")
    try:
        driver.switch_to.alert.dismiss()
        check(False, "nothing in the page opens an alert")
    except NoAlertPresentException:
        check(True, "nothing in the page opens an alert")
    check(complaints(driver) == [], "the console has no complaints")

    # A script that came in after all would not run: the policy names the page's own alone.
    driver.execute_script(
        "const other = document.createElement('script'); other.textContent = 'window.ran = true';"
        "document.body.append(other)"
    )
    check(driver.execute_script("return window.ran === undefined"), "the policy lets no other script run")
    check(len(complaints(driver)) == 1, "which is said on the console")


def use(driver, report):
    """Filters, sorts, opens and changes colours, with the keyboard."""
    prefer(driver, "light")
    resize(driver, 1280)
    driver.get(report.as_uri())

    # Filter.
    all_rows = len(shown_rows(driver, "flows-table"))
    check(all_rows > 3, f"{all_rows} denied flows are listed")
    box = driver.find_element(By.ID, "flows-filter")
    box.send_keys("1433 tcp")
    narrowed = shown_rows(driver, "flows-table")
    check(0 < len(narrowed) < all_rows, "the filter narrows the table")
    check(all("1433" in row.text for row in narrowed), "what is left holds the words")
    said = driver.find_element(By.ID, "flows-shown").text
    check(said == f"{len(narrowed)} of {all_rows} flows", f"the page says how many are left: {said}")
    box.clear()
    box.send_keys(Keys.SPACE)
    check(len(shown_rows(driver, "flows-table")) == all_rows, "an empty filter shows all")

    # Sort, with the keyboard.
    head = driver.find_elements(By.CSS_SELECTOR, "#flows-table thead th")
    packets, source = head[0], head[3]
    check(packets.get_attribute("aria-sort") == "descending", "the largest flows stand first")

    def numbers():
        cells = texts(driver, "#flows-table > tbody > tr > td:first-child")
        return [int(text.replace(",", "")) for text in cells]

    check(numbers() == sorted(numbers(), reverse=True), "and the rows are in that order")
    packets.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    check(packets.get_attribute("aria-sort") == "ascending", "sorting says so")
    check(numbers() == sorted(numbers()), "the smallest flows stand first then")
    source.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    check(source.get_attribute("aria-sort") == "ascending", "another column can be sorted by")
    check(packets.get_attribute("aria-sort") == "none", "and the first is no longer")

    # Steps.
    steps = driver.find_element(By.CSS_SELECTOR, "#flows-table details")
    steps.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    check(steps.get_attribute("open") is not None, "a flow opens with the keyboard")
    check("nsgsim explain --from" in steps.text, "and says how to ask about it")

    # Names, for those who do not see the page.
    script = """
      const bad = [];
      for (const table of document.querySelectorAll("table")) if (!table.caption) bad.push("table without caption");
      for (const cell of document.querySelectorAll("thead th")) if (cell.scope !== "col") bad.push("head without scope");
      for (const svg of document.querySelectorAll("svg[role=img]")) if (!svg.querySelector("title").textContent) bad.push("svg");
      const levels = [...document.querySelectorAll("h1,h2,h3")].map((head) => Number(head.tagName[1]));
      levels.forEach((level, place) => { if (place && level > levels[place - 1] + 1) bad.push("heading skipped"); });
      const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
      if (new Set(ids).size !== ids.length) bad.push("an id is used twice");
      return bad"""
    check(driver.execute_script(script) == [], "tables have captions, heads have scopes, headings skip no level")

    # Width.
    for width in (1280, 400):
        resize(driver, width)
        wide = driver.execute_script("return document.documentElement.scrollWidth")
        check(wide <= width, f"the body does not scroll sideways at {width}: {wide}")
    resize(driver, 1280)

    # Colours.
    driver.get(report.as_uri())
    light = paper(driver)
    theme = driver.find_element(By.ID, "theme")
    check(theme.is_displayed(), "the change of colours can be reached")
    theme.send_keys(Keys.ENTER)
    check(paper(driver) != light, "it changes the colours")
    check(theme.get_attribute("aria-pressed") == "true", "and says so")
    theme.send_keys(Keys.ENTER)
    check(paper(driver) == light, "and back")
    prefer(driver, "dark")
    check(paper(driver) == light, "what was chosen counts more than what the system prefers")
    driver.get(report.as_uri())
    check(paper(driver) != light, "which counts where nothing was chosen")
    prefer(driver, "light")

    said = complaints(driver)
    check(said == [], f"the console has no complaints {said}")
    asked = [entry["message"] for entry in driver.get_log("performance") if "Network.requestWillBeSent\"" in entry["message"]]
    check(all("file://" in message for message in asked), "nothing is loaded from elsewhere")


def picture(driver, report, folder):
    """Pictures of the whole page for people to look at, and the page on paper."""
    driver.get(report.as_uri())
    driver.find_element(By.CSS_SELECTOR, "#flows-table details summary").send_keys(Keys.ENTER)
    driver.execute_script("scrollTo(0, 0)")
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 400)):
        prefer(driver, scheme)
        shoot(driver, folder, f"{scheme}-{width}", width)
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    (folder / "print.pdf").write_bytes(base64.b64decode(printed["data"]))
    print(f"pictures are in {folder}")


if __name__ == "__main__":
    main()
