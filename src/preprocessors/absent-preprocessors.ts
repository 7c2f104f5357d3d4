/** The modules of sd-webui-controlnet 1.1.455 that this program does not have, by name and label, and the network that each needs. */

const needs: readonly (readonly [network: string, names: readonly string[]])[] = [
  ['OneFormer', ['oneformer_ade20k', 'seg_ofade20k', 'oneformer_coco', 'seg_ofcoco']],
  ['a segmentation network for drawn faces', ['anime_face_segment', 'seg_anime_face']],
  ['Segment Anything', ['mobile_sam']],
  ['DensePose', ['densepose', 'densepose (pruple bg & purple torso)']],
  ['DensePose', ['densepose_parula', 'densepose_parula (black bg & blue torso)']],
  ['ZoeDepth', ['depth_zoe']],
  ['LeReS', ['depth_leres', 'depth_leres++']],
  ['MeshGraphormer', ['depth_hand_refiner']],
  ['Marigold', ['depth_marigold']],
  ['a normal map network', ['normal_bae', 'normal_dsine']],
  ['networks for hands and faces', ['openpose_hand', 'openpose_face', 'openpose_faceonly', 'openpose_full']],
  ['DWPose', ['dw_openpose_full']],
  ['RTMPose', ['animal_openpose']],
  ['MediaPipe', ['mediapipe_face']],
  ['TEED', ['te_hed', 'softedge_teed', 'softedge_anyline']],
  ["Manga Line's network", ['lineart_anime_denoise']],
  ['LaMa', ['inpaint_only+lama']],
  ["InsightFace's networks", ['ip-adapter_face_id', 'ip-adapter_face_id_plus', 'ip-adapter_pulid', 'facexlib']],
  ["InsightFace's networks", ['instant_id_face_keypoints', 'instant_id_face_embedding']],
  ['CLIP-ViT-bigG', ['ip-adapter_clip_g', 'ip-adapter_clip_sdxl', 'revision_clipvision', 'revision_ignore_prompt']],
];

const networks: ReadonlyMap<string, string> = new Map(
  needs.flatMap(([network, names]) => names.map((name) => [name, network] as const)),
);

/** Why a module of the extension is not here, and what to do; undefined for a name that is none of its. */
export function whyAbsent(name: string): string | undefined {
  const network = networks.get(name);
  return network === undefined
    ? undefined
    : `${name} of sd-webui-controlnet needs ${network}, which is not supported. Send a finished map without a preprocessor.`;
}
