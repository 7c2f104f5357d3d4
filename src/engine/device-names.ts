/** The devices that can be named: those of ONNX Runtime that this program uses, and `auto`, the fastest of them that works. */

export const devices = ['auto', 'cpu', 'webgpu', 'cuda', 'wasm'] as const;
export type Device = (typeof devices)[number];
