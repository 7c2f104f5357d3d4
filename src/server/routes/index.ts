/** Every route of the server: one file, or a family of one kind, and one line here. */

import type { Route } from '../http/route.ts';
import { embeddings, hypernetworks, loras, refreshEmbeddings, refreshLoras } from './a1111/adapters.ts';
import { cmdFlags } from './a1111/cmd-flags.ts';
import { extraBatchImages, extraSingleImage } from './a1111/extras.ts';
import { gradio } from './a1111/gradio.ts';
import { img2img } from './a1111/img2img.ts';
import { internalProgress, pendingTasks } from './a1111/internal-progress.ts';
import { interrupt, skip } from './a1111/interrupt.ts';
import { latentUpscaleModes } from './a1111/latent-upscale-modes.ts';
import { reloadCheckpoint, unloadCheckpoint } from './a1111/load-checkpoint.ts';
import { memory } from './a1111/memory.ts';
import { faceRestorers } from './a1111/face-restorers.ts';
import { nothingHere } from './a1111/nothing-here.ts';
import { getOptions, setOptions } from './a1111/options.ts';
import { interrogate } from './a1111/interrogate.ts';
import { ping } from './a1111/ping.ts';
import { sysinfo } from './a1111/sysinfo.ts';
import { pngInfo } from './a1111/png-info.ts';
import { progress } from './a1111/progress.ts';
import { promptStyles } from './a1111/prompt-styles.ts';
import { refreshCheckpoints } from './a1111/refresh-checkpoints.ts';
import { samplers } from './a1111/samplers.ts';
import { schedulers } from './a1111/schedulers.ts';
import { sdModels } from './a1111/sd-models.ts';
import { refreshVae, sdVae } from './a1111/sd-vae.ts';
import { scriptInfo, scripts } from './a1111/scripts/index.ts';
import { txt2img } from './a1111/txt2img.ts';
import { upscalers } from './a1111/upscalers.ts';
import { detectMaps } from './controlnet/detect.ts';
import {
  controlModelList,
  controlModuleList,
  controlSettings,
  controlTypeList,
  controlVersion,
} from './controlnet/lists.ts';
import { adapterPreview, listAdapters } from './jobs/adapters.ts';
import { cancelJob, interruptJob } from './jobs/cancel.ts';
import { comfyRoutes } from './comfyui/index.ts';
import { createJob } from './jobs/create.ts';
import { jobEvents } from './jobs/events.ts';
import { geminiImages, geminiModels } from './gemini/images.ts';
import { gallery, galleryPicture } from './jobs/gallery.ts';
import { getJob } from './jobs/get.ts';
import { listServerModels } from './jobs/models.ts';
import { listJobs } from './jobs/list.ts';
import { storePictureRoute } from './jobs/pictures.ts';
import { getResult } from './jobs/results.ts';
import { serverInfo } from './jobs/server-info.ts';
import { edits } from './openai/edits.ts';
import { generations } from './openai/generations.ts';
import { getModel, listModels } from './openai/models.ts';
import { variations } from './openai/variations.ts';
import { healthz, readyz } from './operations/health.ts';
import { metricsRoute } from './operations/metrics.ts';

export const routes: readonly Route[] = [
  txt2img,
  img2img,
  extraSingleImage,
  extraBatchImages,
  pngInfo,
  progress,
  interrupt,
  skip,
  getOptions,
  setOptions,
  sdModels,
  sdVae,
  refreshVae,
  samplers,
  schedulers,
  scripts,
  scriptInfo,
  upscalers,
  faceRestorers,
  latentUpscaleModes,
  cmdFlags,
  memory,
  promptStyles,
  loras,
  embeddings,
  refreshLoras,
  refreshEmbeddings,
  hypernetworks,
  ping,
  sysinfo,
  interrogate,
  internalProgress,
  pendingTasks,
  refreshCheckpoints,
  unloadCheckpoint,
  reloadCheckpoint,
  ...nothingHere,
  ...gradio,
  controlVersion,
  controlModelList,
  controlModuleList,
  controlTypeList,
  controlSettings,
  detectMaps,
  generations,
  edits,
  variations,
  listModels,
  getModel,
  geminiImages,
  geminiModels,
  ...comfyRoutes,
  createJob,
  listJobs,
  getJob,
  cancelJob,
  interruptJob,
  jobEvents,
  getResult,
  storePictureRoute,
  gallery,
  galleryPicture,
  listAdapters,
  adapterPreview,
  serverInfo,
  listServerModels,
  healthz,
  readyz,
  metricsRoute,
];
