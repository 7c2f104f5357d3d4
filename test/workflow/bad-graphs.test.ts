/**
 * Broken graphs against what ComfyUI 0.3.64's own `validate_prompt` says of them: values of other kinds, links to nothing, missing inputs, classes
 * and nodes. Recorded by random changes of good graphs, where the answer does not depend on the order of Python's sets. Errors of a node are
 * compared without regard to their order, tracebacks and tooltips apart.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { parseExactJson, printExactJson } from '../../src/formats/exact-json.ts';
import { parseApiGraph } from '../../src/workflow/graph.ts';
import type { NameLists } from '../../src/workflow/input-spec.ts';
import { nodes } from '../../src/workflow/nodes/index.ts';
import { validateWorkflow, type ValidationResult } from '../../src/workflow/validate.ts';

interface Recorded {
  readonly names: Readonly<Record<string, readonly string[]>>;
  readonly cases: readonly { readonly graph: string; readonly answer: unknown }[];
}

const file = new URL('../../fixtures/comfyui/bad-graphs.json.gz', import.meta.url);
const { names, cases } = parseExactJson(gunzipSync(readFileSync(file)).toString(), 'cases') as unknown as Recorded;
const lists: NameLists = {
  names: (folder) => names[folder] ?? [],
  exists: (name) => name === 'example.png',
};

/** Without what differs between runs of ComfyUI, lists of errors in order. */
function comparable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== 'traceback' && key !== 'tooltip')
      .map(([key, one]) => {
        if (key === 'errors' && Array.isArray(one))
          return [key, one.map((each) => JSON.stringify(comparable(each), sorted)).sort()];
        return [key, key === 'dependent_outputs' ? [...(one as string[])].sort() : comparable(one)];
      }),
  );
}
const sorted = (_: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value;

function answerOf({ valid, error, outputs, nodeErrors }: ValidationResult): unknown {
  const details =
    error?.type === 'prompt_outputs_failed_validation' ? { details: error.details.split('\n').sort() } : {};
  const answer = {
    valid,
    error: error ? { ...error, ...details } : null,
    outputs: [...outputs].sort(),
    node_errors: nodeErrors,
  };
  return JSON.parse(printExactJson(answer)) as unknown;
}

test('broken graphs get the errors that ComfyUI gives', () => {
  assert.ok(cases.length > 400, String(cases.length));
  for (const [i, { graph, answer }] of cases.entries()) {
    const found = answerOf(validateWorkflow(parseApiGraph(graph), nodes, lists));
    const wanted = JSON.parse(printExactJson(answer)) as unknown;
    assert.deepEqual(comparable(found), comparable(wanted), `${i}: ${graph}`);
  }
});
