/** What ComfyUI 0.3.64's `validate_prompt` says of the names of input files that are no text. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseApiGraph } from '../../src/workflow/graph.ts';
import type { NameLists } from '../../src/workflow/input-spec.ts';
import { nodes } from '../../src/workflow/nodes/index.ts';
import { validateWorkflow } from '../../src/workflow/validate.ts';

const lists: NameLists = { names: () => [], exists: () => false };

/** The errors of a LoadImage whose `image` is the given JSON. */
function errorsOf(image: string | undefined): readonly (readonly [string, string])[] {
  const inputs = image === undefined ? '' : `"image": ${image}`;
  const text = `{
    "1": { "class_type": "LoadImage", "inputs": { ${inputs} } },
    "2": { "class_type": "PreviewImage", "inputs": { "images": ["1", 0] } }
  }`;
  const { nodeErrors } = validateWorkflow(parseApiGraph(text), nodes, lists);
  const [id = ''] = Object.keys(nodeErrors);
  return (nodeErrors[id]?.errors ?? []).map(({ type, details }) => [type, details]);
}

test('a name of a file that is missing or no text ends the check of its node as in ComfyUI', () => {
  const raised = 'exception_during_inner_validation';
  const missing = "LoadImage.VALIDATE_INPUTS() missing 1 required positional argument: 'image'";
  assert.deepEqual(errorsOf(undefined), [[raised, missing]]);
  for (const [image, type] of [
    ['5', 'int'],
    ['18446744073709551616', 'int'],
    ['1.5', 'float'],
    ['true', 'bool'],
    ['null', 'NoneType'],
    ['{ "a": 1 }', 'dict'],
    ['[1, 2, 3]', 'list'],
  ] as const)
    assert.deepEqual(errorsOf(image), [[raised, `'${type}' object has no attribute 'endswith'`]]);
  assert.deepEqual(errorsOf('"none.png"'), [['custom_validation_failed', 'image - Invalid image file: none.png']]);
});
