/** The table of nodes: a new one is one row in a file of this folder. */

import { type NodeTable, nodeTable } from '../definition.ts';
import { conditioningNodes } from './conditioning.ts';
import { imageFileNodes } from './images.ts';
import { latentNodes } from './latents.ts';
import { loaderNodes } from './loaders.ts';
import { samplingNodes } from './sampling.ts';
import { textNodes } from './text.ts';
import { vaeNodes } from './vae.ts';

/** Every node by its name. */
export const nodes: NodeTable = nodeTable([
  ...loaderNodes,
  ...textNodes,
  ...conditioningNodes,
  ...latentNodes,
  ...vaeNodes,
  ...samplingNodes,
  ...imageFileNodes,
]);
