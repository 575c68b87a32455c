"use strict";
// Filters, sorts and changes colours. Without it the page can be read all the same.
(() => {
  const root = document.documentElement;
  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const showTheme = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", isDark() ? "Change to light colours" : "Change to dark colours");
    theme.setAttribute("aria-pressed", String(isDark()));
  };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
  });
  dark.addEventListener("change", showTheme);
  theme.hidden = false;
  showTheme();

  // What a cell is sorted by: what it says itself of that, or else its first line.
  const value = (row, column) => {
    const cell = row.cells[column];
    const first = cell.querySelector("summary, .code") || cell;
    const text = cell.dataset.sort ?? first.textContent.trim();
    const number = cell.classList.contains("number") ? Number(text.replaceAll(",", "")) : NaN;
    return { text, number };
  };
  const before = (one, other) =>
    Number.isNaN(one.number) || Number.isNaN(other.number)
      ? one.text.localeCompare(other.text, "en", { numeric: true })
      : one.number - other.number;
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const head = table.tHead.rows[0];
    for (const cell of head.cells) {
      if (cell.tagName !== "TH") continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...cell.childNodes);
      cell.append(button);
      if (!cell.hasAttribute("aria-sort")) cell.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const column = cell.cellIndex;
        const now = cell.getAttribute("aria-sort");
        // Numbers begin with the largest, words with A.
        const first = cell.classList.contains("number") ? "descending" : "ascending";
        const next = now === "none" ? first : now === "ascending" ? "descending" : "ascending";
        for (const other of head.cells) if (other.tagName === "TH") other.setAttribute("aria-sort", "none");
        cell.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => ({ row, value: value(row, column) }));
        rows.sort((one, other) => sign * before(one.value, other.value));
        body.append(...rows.map(({ row }) => row));
      });
    }
  }

  for (const input of document.querySelectorAll("input[data-filters]")) {
    const rows = [...document.getElementById(input.dataset.filters).tBodies[0].rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const output = document.querySelector(`output[data-counts="${input.dataset.filters}"]`);
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, place) => {
        row.hidden = !words.every((word) => texts[place].includes(word));
        shown += row.hidden ? 0 : 1;
      });
      output.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} ${output.dataset.noun}`;
    };
    input.addEventListener("input", apply);
    input.closest(".tools").hidden = false;
    apply();
  }
})();
