/** The greatest seed of ComfyUI's nodes, 2^64 - 1. */
export const highestSeed = 18_446_744_073_709_551_615n;
