/** Kinds whose files may hold a LoRA among others: they are tried before LoRAs. */

import { type FileKind, moves } from './file-kind.ts';

export const kindsWithLoras: readonly FileKind[] = [
  {
    id: 'lora-motion',
    name: 'a motion LoRA (AnimateDiff)',
    use: moves,
    marks: [
      ['motion_modules.', '_lora.'],
      ['motion_modules.', '.lora_'],
    ],
  },
  {
    id: 'control-lora',
    name: 'a Control-LoRA',
    use: 'This program takes ControlNets whose weights are whole: --control.',
    marks: ['^lora_controlnet'],
  },
  {
    id: 'photomaker',
    name: 'a PhotoMaker adapter',
    use: 'This program has no PhotoMaker.',
    marks: ['^id_encoder.', '^id_encoder/'],
  },
  {
    id: 'ip-adapter-flux',
    name: 'an IP-Adapter for Flux',
    marks: ['ip_adapter_double_stream', ['ip_adapter.', '.norm_added_k.']],
  },
  {
    id: 'ip-adapter',
    name: 'an IP-Adapter',
    use: 'Give it with --ip-adapter, together with a model.',
    marks: ['^ip_adapter.', '^image_proj.', '^image_proj/', '^ip_adapter/'],
  },
];
