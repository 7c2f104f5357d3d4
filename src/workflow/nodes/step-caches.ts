/** Nodes that leave out steps which would change little. */

import { defineNode, experimentalFlags, type NodeType } from '../definition.ts';
import { type CacheSettings, patched } from '../values/model.ts';

/** `verbose`: what the original tells its log; there is none here. */
const stepCacheNode = (name: string, of: CacheSettings['of']): NodeType =>
  defineNode({
    name,
    displayName: name,
    category: 'advanced/debug/model',
    module: 'comfy_extras.nodes_easycache',
    required: {
      model: ['MODEL', {}],
      reuse_threshold: ['FLOAT', { default: 0.2, min: 0, max: 3, step: 0.01 }],
      start_percent: ['FLOAT', { default: 0.15, min: 0, max: 1, step: 0.01 }],
      end_percent: ['FLOAT', { default: 0.95, min: 0, max: 1, step: 0.01 }],
      verbose: ['BOOLEAN', { default: false }],
    },
    outputs: ['MODEL'],
    flags: experimentalFlags,
    run: ({ model, reuse_threshold: threshold, start_percent: start, end_percent: end }) => [
      patched(model, { cache: { of, threshold, start, end } }),
    ],
  });

export const stepCacheNodes: readonly NodeType[] = [
  stepCacheNode('EasyCache', 'network'),
  stepCacheNode('LazyCache', 'guided'),
];
