/** Merges of two models with a share of each block: ModelMergeSD1, ModelMergeSD2, ModelMergeSDXL. */

import { defineNode, type NodeInputs, type NodeType } from '../definition.ts';
import type { InputSpec, InputSpecs } from '../input-spec.ts';
import { mixture, sharesByPrefix } from '../merge.ts';
import type { ModelValue } from '../values/model.ts';

const share: InputSpec = ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }];

const numbered = (name: string, count: number, end: string): string[] =>
  Array.from({ length: count }, (_, i) => `${name}.${i}${end}`);

/** The prefixes of blocks: `end` closes a block's number, so that block 1 is not also block 10. */
const prefixesOf = (blocks: number, end: string): readonly string[] => [
  'time_embed.',
  'label_emb.',
  ...numbered('input_blocks', blocks, end),
  ...numbered('middle_block', 3, end),
  ...numbered('output_blocks', blocks, end),
  'out.',
];

function mergeNode(name: string, prefixes: readonly string[]): NodeType {
  const shares: InputSpecs = Object.fromEntries(prefixes.map((prefix) => [prefix, share]));
  return defineNode({
    name,
    displayName: name,
    category: 'advanced/model_merging/model_specific',
    module: 'comfy_extras.nodes_model_merging_model_specific',
    required: { model1: ['MODEL'], model2: ['MODEL'], ...shares } as InputSpecs,
    outputs: ['MODEL'],
    run: (inputs: NodeInputs) => {
      const { model1, model2, ...given } = inputs as { model1: ModelValue; model2: ModelValue };
      return [mixture(model1, model2, sharesByPrefix(given as Readonly<Record<string, number>>))];
    },
  });
}

export const blockMergingNodes: readonly NodeType[] = [
  mergeNode('ModelMergeSD1', prefixesOf(12, '.')),
  mergeNode('ModelMergeSD2', prefixesOf(12, '.')),
  mergeNode('ModelMergeSDXL', prefixesOf(9, '')),
];
