/**
 * Stable Diffusion in TypeScript, in Node.
 *
 * @example
 * const model = await loadModel('model.safetensors');
 * const [picture] = await pictures(textToImage(model, { prompt: 'a red apple' }));
 * await saveImage('apple.png', picture);
 * await model.dispose();
 */

export * from './core.ts';
export { createNodeEngine, type NodeEngineOptions } from './engine/node.ts';
export { nodeImageCodec } from './image/codec/codec-node.ts';
export type { Classifier } from './model/classifier.ts';
export { loadClassifier } from './model/load-classifier-node.ts';
export { loadControl, type LoadControlOptions } from './model/load-control-node.ts';
export { loadRetrievalModel, openRetrievalDatabase, type RetrievalModelOptions } from './model/load-retrieval-node.ts';
export { loadModel, type LoadModelOptions, pocketModel } from './model/load-model-node.ts';
export { matrixCells, plotCells, type Plot, type PlotAxis } from './generation/plot/cells.ts';
export { type Legend, legendGrid, type LegendLine, matrixLegend } from './image/grid-legend.ts';
export { filterDataSet, type FilterDataSetOptions } from './evaluation/data-set/filter-data-set-node.ts';
export type { Manifest as DataSetManifest } from './evaluation/data-set/manifest-node.ts';
export { openWildcards } from './prompt/wildcard-folder-node.ts';
export { legendFont } from './image/legend-font-node.ts';
export { encodeImage, type EncodeOptions, openImage, saveImage } from './pipelines/image-files-node.ts';
export {
  openWorkflowContext,
  type WorkflowContextOptions,
  type WorkflowFolders,
  workflowFolders,
} from './workflow/context-node.ts';
export { WorkflowCache } from './workflow/cache.ts';
export type { WorkflowEvent } from './workflow/events.ts';
export { executeWorkflow, type ExecuteOptions, type WorkflowResult } from './workflow/execute.ts';
export { type ApiGraph, parseApiGraph } from './workflow/graph.ts';
export { defineListNode, defineNode, type NodeTable, nodeTable, type NodeType } from './workflow/definition.ts';
export { nodes as workflowNodes } from './workflow/nodes/index.ts';
export { objectInfo } from './workflow/object-info.ts';
export { apiGraphOfPage, type PageOptions, parseWorkflow } from './workflow/page/page-to-api.ts';
export { type RunWorkflowOptions, runWorkflow } from './workflow/run-workflow-node.ts';
export { validateWorkflow, type ValidationResult } from './workflow/validate.ts';
