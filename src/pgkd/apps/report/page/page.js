"use strict";
{
  const form = document.getElementById("filter");
  const table = document.getElementById("texts");
  if (form && table) {
    const rows = Array.from(table.tBodies[0].rows);
    const words = rows.map((row) => row.textContent.toLowerCase());
    const count = document.getElementById("filter-count");
    const names = ["round", "label", "outcome"];
    const apply = () => {
      const wanted = names.map((name) => form.elements[name].value);
      const sought = form.elements.words.value.trim().toLowerCase();
      let shown = 0;
      rows.forEach((row, i) => {
        const fits = names.every((name, k) => !wanted[k] || row.dataset[name] === wanted[k]);
        row.hidden = !(fits && words[i].includes(sought));
        shown += row.hidden ? 0 : 1;
      });
      count.textContent = `${shown} of ${rows.length} texts`;
    };
    form.addEventListener("input", apply);
    form.addEventListener("reset", () => setTimeout(apply));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    apply();
  }
}
