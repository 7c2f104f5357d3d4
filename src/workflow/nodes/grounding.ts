/** Nodes of GLIGEN: phrases in boxes. */

import { defineNode, type NodeType } from '../definition.ts';
import { groundingOf } from '../grounding.ts';
import { pooledPhrase } from '../text/encode-text.ts';
import type { GroundingValue } from '../values/grounding.ts';

const gligenLoaderNode = defineNode({
  name: 'GLIGENLoader',
  displayName: 'GLIGENLoader',
  category: 'loaders',
  module: 'nodes',
  required: { gligen_name: [{ folder: 'gligen' }] },
  outputs: ['GLIGEN'],
  run: async ({ gligen_name }, { files }) => [await groundingOf(await files.weights('gligen', gligen_name))],
});

const gligenTextBoxApplyNode = defineNode({
  name: 'GLIGENTextBoxApply',
  displayName: 'GLIGENTextBoxApply',
  category: 'conditioning/gligen',
  module: 'nodes',
  required: {
    conditioning_to: ['CONDITIONING'],
    clip: ['CLIP'],
    gligen_textbox_model: ['GLIGEN'],
    text: ['STRING', { multiline: true, dynamicPrompts: true }],
    width: ['INT', { default: 64, min: 8, max: 16384, step: 8 }],
    height: ['INT', { default: 64, min: 8, max: 16384, step: 8 }],
    x: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
    y: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
  },
  outputs: ['CONDITIONING'],
  async run({ conditioning_to, clip, gligen_textbox_model, text, width, height, x, y }, context) {
    const gligen = gligen_textbox_model as GroundingValue;
    const phrase = {
      embedding: await pooledPhrase(clip, text, context),
      area: { height: height >> 3, width: width >> 3, top: y >> 3, left: x >> 3 },
    };
    return [
      conditioning_to.map((entry) => ({
        ...entry,
        gligen: { gligen, phrases: [...(entry.gligen?.phrases ?? []), phrase] },
      })),
    ];
  },
});

export const groundingNodes: readonly NodeType[] = [gligenLoaderNode, gligenTextBoxApplyNode];
