/** The page at `/asyncapi`: what is asked and told over Socket.IO, out of `/asyncapi.json`. */

import htm from "../vendor/htm.js";
import { h, render } from "../vendor/preact.js";
import { operationsOf, shapesOf } from "./document.js";

const html = htm.bind(h);

/** Text in which `code` and [links](/path) are marked, as the document's words are. */
function Words({ text }) {
  return text.split(/(`[^`]+`|\*[^*]+\*|\[[^\]]+\]\([^)]+\))/).map((part) => {
    const link = /^\[([^\]]+)\]\((\/[^)]*)\)$/.exec(part);
    if (link) return html`<a href=${link[2]}>${link[1]}</a>`;
    if (/^`.+`$/.test(part)) return html`<code>${part.slice(1, -1)}</code>`;
    if (/^\*.+\*$/.test(part)) return html`<em>${part.slice(1, -1)}</em>`;
    return part;
  });
}

const Paragraphs = ({ text }) =>
  text
    .split("\n\n")
    .filter(Boolean)
    .map((each) => html`<p><${Words} text=${each} /></p>`);

const ShapeLink = ({ name }) => html`<a href=${`#shape-${name}`}><code>${name}</code></a>`;

/** A field's type, in which the names of shapes lead to them. */
const Type = ({ field }) =>
  field.type
    .split(/\b/)
    .map((word) => (field.shapes.includes(word) ? html`<${ShapeLink} name=${word} />` : word));

const Row = ({ field }) => html`
  <tr>
    <th scope="row"><code>${field.name}</code></th>
    <td>${field.required ? "yes" : ""}</td>
    <td>
      <${Type} field=${field} />
      ${field.limits ? html`<small>${field.limits}</small>` : null}
    </td>
  </tr>
`;

function Fields({ shape }) {
  if (shape.fields.length === 0) return html`<p class="none">No fields.</p>`;
  return html`
    <div class="wide">
      <table>
        <thead>
          <tr><th scope="col">field</th><th scope="col">required</th><th scope="col">type</th></tr>
        </thead>
        <tbody>
          ${shape.fields.map((field) => html`<${Row} key=${field.name} field=${field} />`)}
        </tbody>
      </table>
    </div>
  `;
}

const Answer = ({ answer }) => html`
  <li><code>${answer.name}</code> with <${ShapeLink} name=${answer.payload} /></li>
`;

const Request = ({ request, shapes }) => html`
  <article id=${`request-${request.name}`}>
    <h3><code>${request.name}</code></h3>
    <${Paragraphs} text=${request.summary} />
    <${Fields} shape=${shapes.get(request.payload)} />
    <p>Answered by</p>
    <ul>${request.answers.map((answer) => html`<${Answer} answer=${answer} />`)}</ul>
  </article>
`;

const Push = ({ push }) => html`
  <article id=${`push-${push.name}`}>
    <h3><code>${push.name}</code></h3>
    <${Paragraphs} text=${push.summary} />
    <p>Tells <${ShapeLink} name=${push.payload} /></p>
  </article>
`;

const Shape = ({ shape }) => html`
  <article id=${`shape-${shape.name}`}>
    <h3><code>${shape.name}</code></h3>
    <${Paragraphs} text=${shape.description} />
    <${Fields} shape=${shape} />
  </article>
`;

const Contents = ({ title, kind, names }) => html`
  <section>
    <h2>${title}</h2>
    <ul>${names.map((name) => html`<li><a href=${`#${kind}-${name}`}>${name}</a></li>`)}</ul>
  </section>
`;

function Page({ document }) {
  const { requests, pushes } = operationsOf(document);
  const byName = new Map(shapesOf(document).map((shape) => [shape.name, shape]));
  // A request's own shape stands with it.
  const asked = new Set(requests.map(({ payload }) => payload));
  const shapes = [...byName.values()].filter(({ name }) => !asked.has(name));
  const namesOf = (all) => all.map(({ name }) => name);
  return html`
    <nav aria-label="Contents">
      <${Contents} title="Requests" kind="request" names=${namesOf(requests)} />
      <${Contents} title="Pushes" kind="push" names=${namesOf(pushes)} />
      <${Contents} title="Shapes" kind="shape" names=${namesOf(shapes)} />
    </nav>
    <div class="text">
      <h1>${document.info.title} over Socket.IO</h1>
      <p class="version">
        Version ${document.info.version}${" · "}
        <a href="/asyncapi.json">AsyncAPI ${document.asyncapi}</a>${" · "}
        <a href="/schema">HTTP routes</a>
      </p>
      <${Paragraphs} text=${document.info.description} />
      <h2>Requests</h2>
      ${requests.map((each) => html`<${Request} key=${each.name} request=${each} shapes=${byName} />`)}
      <h2>Pushes</h2>
      ${pushes.map((each) => html`<${Push} key=${each.name} push=${each} />`)}
      <h2>Shapes</h2>
      ${shapes.map((each) => html`<${Shape} key=${each.name} shape=${each} />`)}
    </div>
  `;
}

const main = document.getElementById("page");

async function show() {
  const response = await fetch("/asyncapi.json");
  if (!response.ok) throw new Error(`The document was answered with ${response.status}.`);
  const described = await response.json();
  main.replaceChildren();
  render(html`<${Page} document=${described} />`, main);
  // The address's part was looked for before it was there.
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

show().catch((error) => {
  main.textContent = `The description could not be shown. ${error.message}`;
});
