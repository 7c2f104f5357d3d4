/** Nodes that multiply the projections of a network's attentions. */

import { defineNode, experimentalFlags, type NodeType } from '../definition.ts';
import { scaledAttention, scaledTextAttention, scaledTimeAttention } from '../attention-factors.ts';

const factor = ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }] as const;
const projections = { q: factor, k: factor, v: factor, out: factor };

const attentionMultiplyNode = (name: string, kind: 'attn1' | 'attn2'): NodeType =>
  defineNode({
    name,
    displayName: null,
    category: '_for_testing/attention_experiments',
    module: 'comfy_extras.nodes_attention_multiply',
    required: {
      model: ['MODEL', {}],
      ...projections,
    },
    outputs: ['MODEL'],
    flags: experimentalFlags,
    run: ({ model, ...factors }) => [scaledAttention(model, kind, factors)],
  });

const clipAttentionMultiplyNode = defineNode({
  name: 'CLIPAttentionMultiply',
  displayName: null,
  category: '_for_testing/attention_experiments',
  module: 'comfy_extras.nodes_attention_multiply',
  required: {
    clip: ['CLIP', {}],
    ...projections,
  },
  outputs: ['CLIP'],
  flags: experimentalFlags,
  run: ({ clip, ...factors }) => [scaledTextAttention(clip, factors)],
});

const uNetTemporalAttentionMultiplyNode = defineNode({
  name: 'UNetTemporalAttentionMultiply',
  displayName: null,
  category: '_for_testing/attention_experiments',
  module: 'comfy_extras.nodes_attention_multiply',
  required: {
    model: ['MODEL', {}],
    self_structural: factor,
    self_temporal: factor,
    cross_structural: factor,
    cross_temporal: factor,
  },
  outputs: ['MODEL'],
  flags: experimentalFlags,
  run: ({ model, self_structural, cross_structural }) => [
    scaledTimeAttention(model, self_structural, cross_structural),
  ],
});

export const attentionFactorNodes: readonly NodeType[] = [
  attentionMultiplyNode('UNetSelfAttentionMultiply', 'attn1'),
  attentionMultiplyNode('UNetCrossAttentionMultiply', 'attn2'),
  clipAttentionMultiplyNode,
  uNetTemporalAttentionMultiplyNode,
];
