/** Nodes that hold one value. */

import { defineNode, type NodeType, plainFlags } from '../definition.ts';

const primitiveStringNode = defineNode({
  name: 'PrimitiveString',
  displayName: 'String',
  category: 'utils/primitive',
  module: 'comfy_extras.nodes_primitive',
  required: {
    value: ['STRING', { multiline: false }],
  },
  outputs: ['STRING'],
  flags: plainFlags,
  run: ({ value }) => [value],
});

const primitiveStringMultilineNode = defineNode({
  name: 'PrimitiveStringMultiline',
  displayName: 'String (Multiline)',
  category: 'utils/primitive',
  module: 'comfy_extras.nodes_primitive',
  required: {
    value: ['STRING', { multiline: true }],
  },
  outputs: ['STRING'],
  flags: plainFlags,
  run: ({ value }) => [value],
});

const primitiveIntNode = defineNode({
  name: 'PrimitiveInt',
  displayName: 'Int',
  category: 'utils/primitive',
  module: 'comfy_extras.nodes_primitive',
  required: {
    value: ['INT', { min: -9223372036854775807n, max: 9223372036854775807n, control_after_generate: true }],
  },
  outputs: ['INT'],
  flags: plainFlags,
  run: ({ value }) => [value],
});

const primitiveFloatNode = defineNode({
  name: 'PrimitiveFloat',
  displayName: 'Float',
  category: 'utils/primitive',
  module: 'comfy_extras.nodes_primitive',
  required: {
    value: ['FLOAT', { min: -9223372036854775807n, max: 9223372036854775807n }],
  },
  outputs: ['FLOAT'],
  flags: plainFlags,
  run: ({ value }) => [value],
});

const primitiveBooleanNode = defineNode({
  name: 'PrimitiveBoolean',
  displayName: 'Boolean',
  category: 'utils/primitive',
  module: 'comfy_extras.nodes_primitive',
  required: {
    value: ['BOOLEAN', {}],
  },
  outputs: ['BOOLEAN'],
  flags: plainFlags,
  run: ({ value }) => [value],
});

export const primitiveNodes: readonly NodeType[] = [
  primitiveStringNode,
  primitiveStringMultilineNode,
  primitiveIntNode,
  primitiveFloatNode,
  primitiveBooleanNode,
];
