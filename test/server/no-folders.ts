/** No folder named in the options of `sd serve`. */
export const noFolders = {
  models: undefined,
  loras: undefined,
  vaes: undefined,
  embeddings: undefined,
  controlModels: undefined,
  annotators: undefined,
  a1111: undefined,
  comfyui: undefined,
};
