/** No folder named in the options of `sd serve`. */
export const noFolders = {
  models: undefined,
  loras: undefined,
  embeddings: undefined,
  controlModels: undefined,
  annotators: undefined,
  a1111: undefined,
  comfyui: undefined,
};
