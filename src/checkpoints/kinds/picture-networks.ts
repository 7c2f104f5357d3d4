/** Networks that change pictures or look at them. */

import { enlarges, type FileKind, moves, reads } from './file-kind.ts';

const otherUpscaler = 'It enlarges pictures, with an architecture that sd upscale does not have.';
const maps = 'Draw maps for control networks with it: sd preprocess --model.';
const otherMaps = 'It draws maps of pictures, and sd preprocess does not have its architecture.';
const faces = 'Make faces clear with it: sd restore-faces.';
const otherFaces = 'It repairs faces; sd restore-faces takes CodeFormer.';
const parts = 'It finds the parts of a picture and makes none.';

export const pictureNetworks: readonly FileKind[] = [
  {
    id: 'upscaler',
    name: 'an ESRGAN upscaler',
    use: enlarges,
    marks: [['body.', '.rdb1.'], '.RDB1.', '^model.1.sub.', '^sub.0.RDB1.'],
  },
  {
    id: 'upscaler-swinir',
    name: 'a SwinIR, DAT or HAT upscaler',
    use: 'SwinIR and DAT enlarge pictures here: sd upscale.',
    marks: ['^conv_after_body.', '.residual_group.blocks.'],
  },
  {
    id: 'upscaler-scunet',
    name: 'a SCUNet network',
    use: 'Clean pictures with it: sd upscale.',
    marks: [['^m_head.', '^m_tail.'], '^m_body.0.trans_block.'],
  },
  { id: 'upscaler-atd', name: 'an ATD upscaler', use: otherUpscaler, marks: ['.residual_group.layers.'] },
  {
    id: 'upscaler-omnisr',
    name: 'an OmniSR upscaler',
    use: otherUpscaler,
    marks: ['residual_layer.0.residual_layer.'],
  },
  { id: 'upscaler-span', name: 'a SPAN upscaler', use: otherUpscaler, marks: ['block_1.c1_r.'] },
  { id: 'upscaler-plksr', name: 'a PLKSR upscaler', use: otherUpscaler, marks: ['.lk.conv.', ['^feats.0.', '.lk.']] },
  { id: 'gfpgan', name: 'a GFPGAN or RestoreFormer network', use: otherFaces, marks: ['stylegan_decoder.'] },
  { id: 'gpen', name: 'a GPEN network', use: otherFaces, marks: ['ecd0.0.'] },
  { id: 'codeformer', name: 'a CodeFormer network', use: faces, marks: ['fuse_convs_dict.'] },
  { id: 'face-detector', name: 'a RetinaFace detector', use: `${faces} --detector`, marks: ['ClassHead.0.'] },
  {
    id: 'face-parser',
    name: 'a ParseNet network',
    use: 'It finds the parts of faces; sd restore-faces does without.',
    marks: ['out_mask_conv.'],
  },
  {
    id: 'inpainter-lama',
    name: 'a LaMa network',
    use: 'It fills holes in pictures; this program has no LaMa.',
    marks: ['.ffc.convl2l.'],
  },
  { id: 'interpolation', name: 'a RIFE network', use: moves, marks: ['^flownet.', ['^contextnet.', '^block0.']] },
  { id: 'motion', name: 'a motion module (AnimateDiff)', use: moves, marks: ['motion_modules.'] },
  {
    id: 'segment-anything',
    name: 'a Segment Anything network (SAM)',
    use: parts,
    marks: [
      'mask_decoder.iou_token.',
      'sam_mask_decoder.',
      '^prompt_encoder.point_embeddings.',
      '^memory_attention.layers.',
    ],
  },
  {
    id: 'annotator',
    name: 'a network of a preprocessor',
    use: maps,
    marks: [
      'Mconv1_stage2_L1.',
      '^netVggOne.',
      ['^pretrained.model.', '^scratch.refinenet1.'],
      '^depth_head.scratch.',
      ['^model0.1.', '^model4.1.'],
      ['^backbone.features.', '^block15.'],
    ],
  },
  {
    id: 'annotator-other',
    name: 'a network of a preprocessor',
    use: otherMaps,
    marks: [
      '^core.core.pretrained.',
      ['^backbone.patch_embed1.', '^decode_head.'],
      '^sem_seg_head.',
      'encoder.original_model.',
      '.ca_text.in_proj_weight',
    ],
  },
  {
    id: 'background',
    name: 'a network that cuts out the foreground',
    use: parts,
    marks: ['^squeeze_module.', '^stage1.rebnconvin.', '^bb.patch_embed.'],
  },
  {
    id: 'captioner',
    name: 'a BLIP network',
    use: reads,
    marks: [
      ['visual_encoder.', 'text_decoder.'],
      ['visual_encoder.blocks.', 'text_encoder.'],
    ],
  },
  {
    id: 'tagger',
    name: 'a network that tags pictures',
    use: reads,
    marks: ['^n_Conv_0.', ['^head.', '^patch_embed.proj.', '.attn.qkv.']],
  },
  {
    id: 'detector',
    name: 'a YOLO detector',
    use: parts,
    marks: ['model.22.cv2.', 'model.22.dfl.', 'model.23.cv2.', 'model.24.m.0.'],
  },
  {
    id: 'face-recognition',
    name: 'a network that recognises faces',
    use: reads,
    marks: [['^layer1.0.bn0.', '^conv1.']],
  },
  { id: 'dino', name: "DINO's image encoder", use: reads, marks: ['.layer_scale1.lambda1', '.ls1.gamma'] },
  { id: 'speech', name: 'a Whisper network', use: 'It writes down speech.', marks: ['.encoder_attn.q_proj.'] },
  {
    id: 'layer-diffusion',
    name: 'a network of LayerDiffuse',
    use: 'This program has no LayerDiffuse.',
    marks: ['latent_conv_in.'],
  },
];
