/**
 * Reads an AsyncAPI 3.0 document as the page shows it: requests, pushes, and the shapes of both.
 *
 * @typedef {{ name: string, required: boolean, type: string, limits: string, shapes: string[] }} Field
 * @typedef {{ name: string, summary: string, payload: string, answers: Message[] }} Request
 * @typedef {{ name: string, payload: string }} Message
 */

const lastPart = (pointer) => pointer.split("/").pop();

function at(document, pointer) {
  return pointer
    .slice(2)
    .split("/")
    .reduce((place, step) => place[step], document);
}

/** @returns {Message} what a reference to a message leads to */
function messageAt(document, { $ref }) {
  const { name, payload } = at(document, $ref);
  return { name, payload: lastPart(payload.$ref) };
}

/** @returns {{ requests: Request[], pushes: (Message & { summary: string })[] }} */
export function operationsOf(document) {
  const requests = [];
  const pushes = [];
  for (const { action, summary, messages, reply } of Object.values(document.operations)) {
    const [message] = messages.map((each) => messageAt(document, each));
    if (action === "send") {
      pushes.push({ ...message, summary });
    } else {
      const answers = (reply?.messages ?? []).map((each) => messageAt(document, each));
      requests.push({ ...message, summary, answers });
    }
  }
  return { requests, pushes };
}

/** @returns {{ name: string, description: string, fields: Field[] }[]} */
export function shapesOf(document) {
  return Object.entries(document.components.schemas)
    .map(([name, schema]) => ({
      name,
      description: schema.description ?? "",
      fields: fieldsOf(schema),
    }))
    .sort((one, other) => one.name.localeCompare(other.name));
}

/** @returns {Field[]} */
function fieldsOf(schema) {
  const required = new Set(schema.required);
  return Object.entries(schema.properties ?? {}).map(([name, kind]) => ({
    name,
    required: required.has(name),
    type: typeOf(kind),
    limits: limitsOf(kind),
    shapes: shapesWithin(kind),
  }));
}

function typeOf(kind) {
  if (kind.$ref) return lastPart(kind.$ref);
  if (kind.anyOf) return kind.anyOf.map(typeOf).join(" or ");
  if (kind.enum) return kind.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (kind.type === "array") return `list of ${typeOf(kind.items)}`;
  return kind.format ? `${kind.type} (${kind.format})` : (kind.type ?? "anything");
}

const LIMITS = {
  minimum: (value) => `at least ${value}`,
  exclusiveMinimum: (value) => `above ${value}`,
  maximum: (value) => `at most ${value}`,
  minLength: (value) => (value === 1 ? "not empty" : `at least ${value} characters`),
  maxLength: (value) => `at most ${value} characters`,
  pattern: (value) => `matches ${value}`,
};

function limitsOf(kind) {
  const own = Object.entries(LIMITS)
    // What JavaScript's numbers cannot say is the storage's limit, and nobody's concern.
    .filter(([name]) => name in kind && !(kind[name] > Number.MAX_SAFE_INTEGER))
    .map(([name, words]) => words(kind[name]));
  if (kind.default !== undefined && kind.default !== null) {
    own.push(`${JSON.stringify(kind.default)} if it is missing`);
  }
  const within = (kind.anyOf ?? []).map(limitsOf).filter(Boolean);
  return [...own, ...within].join(", ");
}

function shapesWithin(kind) {
  if (kind.$ref) return [lastPart(kind.$ref)];
  const within = [...(kind.anyOf ?? []), ...(kind.items ? [kind.items] : [])];
  return within.flatMap(shapesWithin);
}
