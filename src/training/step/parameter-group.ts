/** How a group of parameters is trained. */
export interface ParameterGroup {
  /** Factor on the learning rate of the step. Default 1. */
  readonly learningRateScale?: number;
  /** Default 0.01 for AdamW, as PyTorch's, else 0. */
  readonly weightDecay?: number;
}
