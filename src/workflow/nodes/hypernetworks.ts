/** The node that adds a hypernetwork to a model. */

import { hypernetworkWeights, readHypernetwork } from '../../adapters/hypernetwork.ts';
import { hypernetwork } from '../../extensions/hypernetwork.ts';
import { refuseHypernetwork } from '../../model/with-hypernetworks.ts';
import { joined } from '../../weights/view.ts';
import { defineNode, type NodeType } from '../definition.ts';

const hypernetworkLoaderNode = defineNode({
  name: 'HypernetworkLoader',
  displayName: 'HypernetworkLoader',
  category: 'loaders',
  module: 'comfy_extras.nodes_hypernetwork',
  required: {
    model: ['MODEL'],
    hypernetwork_name: [{ folder: 'hypernetworks' }],
    strength: ['FLOAT', { default: 1, min: -10, max: 10, step: 0.01 }],
  },
  outputs: ['MODEL'],
  async run({ model, hypernetwork_name, strength }, { files }) {
    if (strength === 0) return [model];
    const file = readHypernetwork(await files.weights('hypernetworks', hypernetwork_name));
    const { network } = model;
    refuseHypernetwork(file, model.label, network.config);
    const own = network.extensions ?? [];
    const prefix = `hypernetwork_${own.length}`;
    const weights = joined([network.weights, hypernetworkWeights(file, prefix)], network.weights.label);
    return [{ ...model, network: { ...network, weights, extensions: [...own, hypernetwork(file, strength, prefix)] } }];
  },
});

export const hypernetworkNodes: readonly NodeType[] = [hypernetworkLoaderNode];
