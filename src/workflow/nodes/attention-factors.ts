/** Nodes that multiply the projections of a network's attentions. */

import { defineNode, type NodeType } from '../definition.ts';
import { scaledAttention, scaledTextAttention, scaledTimeAttention } from '../attention-factors.ts';

const uNetSelfAttentionMultiplyNode = defineNode({
  name: 'UNetSelfAttentionMultiply',
  displayName: null,
  category: '_for_testing/attention_experiments',
  module: 'comfy_extras.nodes_attention_multiply',
  required: {
    model: ['MODEL', {}],
    q: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
    k: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
    v: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
    out: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
  },
  outputs: ['MODEL'],
  flags: { deprecated: false, experimental: true, api_node: false },
  run: ({ model, ...factors }) => [scaledAttention(model, 'attn1', factors)],
});

const uNetCrossAttentionMultiplyNode = defineNode({
  name: 'UNetCrossAttentionMultiply',
  displayName: null,
  category: '_for_testing/attention_experiments',
  module: 'comfy_extras.nodes_attention_multiply',
  required: {
    model: ['MODEL', {}],
    q: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
    k: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
    v: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
    out: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
  },
  outputs: ['MODEL'],
  flags: { deprecated: false, experimental: true, api_node: false },
  run: ({ model, ...factors }) => [scaledAttention(model, 'attn2', factors)],
});

const clipAttentionMultiplyNode = defineNode({
  name: 'CLIPAttentionMultiply',
  displayName: null,
  category: '_for_testing/attention_experiments',
  module: 'comfy_extras.nodes_attention_multiply',
  required: {
    clip: ['CLIP', {}],
    q: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
    k: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
    v: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
    out: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
  },
  outputs: ['CLIP'],
  flags: { deprecated: false, experimental: true, api_node: false },
  run: ({ clip, ...factors }) => [scaledTextAttention(clip, factors)],
});

const uNetTemporalAttentionMultiplyNode = defineNode({
  name: 'UNetTemporalAttentionMultiply',
  displayName: null,
  category: '_for_testing/attention_experiments',
  module: 'comfy_extras.nodes_attention_multiply',
  required: {
    model: ['MODEL', {}],
    self_structural: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
    self_temporal: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
    cross_structural: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
    cross_temporal: ['FLOAT', { default: 1.0, min: 0.0, max: 10.0, step: 0.01 }],
  },
  outputs: ['MODEL'],
  flags: { deprecated: false, experimental: true, api_node: false },
  run: ({ model, self_structural, cross_structural }) => [
    scaledTimeAttention(model, self_structural, cross_structural),
  ],
});

export const attentionFactorNodes: readonly NodeType[] = [
  uNetSelfAttentionMultiplyNode,
  uNetCrossAttentionMultiplyNode,
  clipAttentionMultiplyNode,
  uNetTemporalAttentionMultiplyNode,
];
