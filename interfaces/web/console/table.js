/** A table that scrolls by itself where the page is too narrow for it. */

import { html } from "../common/html.js";

/**
 * @param {object} props
 * @param {string} props.caption  its accessible name
 * @param {string[]} props.head
 * @param {string[]} [props.figures]  those of `head` whose cells are numbers
 * @param {any[][]} props.rows
 * @param {any[]} [props.foot]  cells for the end of the last row, after one that says Total
 */
export function Table({ caption, head, figures = [], rows, foot = null }) {
  const kinds = head.map((name) => (figures.includes(name) ? "number" : null));
  return html`
    <div class="scroll" tabindex="0" role="group" aria-label=${caption}>
      <table>
        <thead>
          <tr>${head.map((name, index) => html`<th scope="col" class=${kinds[index]}>${name}</th>`)}</tr>
        </thead>
        <tbody>
          ${rows.map((row) => html`
            <tr>${row.map((cell, index) => html`<td class=${kinds[index]} dir="auto">${cell}</td>`)}</tr>
          `)}
        </tbody>
        ${foot && html`
          <tfoot>
            <tr>
              <th scope="row" colspan=${head.length - foot.length}>Total</th>
              ${foot.map((cell) => html`<td class="number">${cell}</td>`)}
            </tr>
          </tfoot>
        `}
      </table>
    </div>
  `;
}
