/** Nodes that change the guidance by its length, its direction or its frequencies. */

import { defineNode, experimentalFlags, type NodeType, plainFlags } from '../definition.ts';
import {
  frequencyScaled,
  normBounded,
  perpendicular,
  renormed,
  tangentiallyDamped,
} from '../sampling/guidance-filters.ts';
import { patched } from '../values/model.ts';

const cfgNormNode = defineNode({
  name: 'CFGNorm',
  displayName: null,
  category: 'advanced/guidance',
  module: 'comfy_extras.nodes_cfg',
  required: {
    model: ['MODEL', {}],
    strength: ['FLOAT', { default: 1.0, min: 0.0, max: 100.0, step: 0.01 }],
  },
  outputs: [{ type: 'MODEL', name: 'patched_model' }],
  flags: experimentalFlags,
  run: ({ model, strength }) => [patched(model, { afterGuidance: [normBounded(strength)] })],
});

const tcfgNode = defineNode({
  name: 'TCFG',
  displayName: 'Tangential Damping CFG',
  category: 'advanced/guidance',
  module: 'comfy_extras.nodes_tcfg',
  required: {
    model: ['MODEL', {}],
  },
  outputs: [{ type: 'MODEL', name: 'patched_model' }],
  flags: plainFlags,
  run: ({ model }) => [patched(model, { beforeGuidance: [tangentiallyDamped] })],
});

const freScaNode = defineNode({
  name: 'FreSca',
  displayName: 'FreSca',
  category: '_for_testing',
  module: 'comfy_extras.nodes_fresca',
  required: {
    model: ['MODEL', {}],
    scale_low: ['FLOAT', { default: 1.0, min: 0, max: 10, step: 0.01 }],
    scale_high: ['FLOAT', { default: 1.25, min: 0, max: 10, step: 0.01 }],
    freq_cutoff: ['INT', { default: 20, min: 1, max: 10000, step: 1 }],
  },
  outputs: ['MODEL'],
  flags: experimentalFlags,
  run: ({ model, scale_low, scale_high, freq_cutoff }) => [
    patched(model, { beforeGuidance: [frequencyScaled({ low: scale_low, high: scale_high, cutoff: freq_cutoff })] }),
  ],
});

const renormCfgNode = defineNode({
  name: 'RenormCFG',
  displayName: null,
  category: 'advanced/model',
  module: 'comfy_extras.nodes_lumina2',
  required: {
    model: ['MODEL', {}],
    cfg_trunc: ['FLOAT', { default: 100, min: 0.0, max: 100.0, step: 0.01 }],
    renorm_cfg: ['FLOAT', { default: 1.0, min: 0.0, max: 100.0, step: 0.01 }],
  },
  outputs: ['MODEL'],
  flags: plainFlags,
  run: ({ model, cfg_trunc, renorm_cfg }) => [patched(model, { guide: renormed(cfg_trunc, renorm_cfg) })],
});

const perpNegNode = defineNode({
  name: 'PerpNeg',
  displayName: 'Perp-Neg (DEPRECATED by PerpNegGuider)',
  category: '_for_testing',
  module: 'comfy_extras.nodes_perpneg',
  required: {
    model: ['MODEL', {}],
    empty_conditioning: ['CONDITIONING', {}],
    neg_scale: ['FLOAT', { default: 1.0, min: 0.0, max: 100.0, step: 0.01 }],
  },
  outputs: ['MODEL'],
  flags: { deprecated: true, experimental: true, api_node: false },
  run: ({ model, empty_conditioning, neg_scale }) => [
    patched(model, { guide: perpendicular(empty_conditioning, neg_scale) }),
  ],
});

export const guidanceFilterNodes: readonly NodeType[] = [renormCfgNode, cfgNormNode, tcfgNode, freScaNode, perpNegNode];
