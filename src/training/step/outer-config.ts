/** Settings of DiLoCo's outer step. */

export interface OuterConfig {
  /** Inner steps of a round (H). */
  readonly every: number;
  /** Of the outer step. The paper's is 0.7. */
  readonly learningRate: number;
  /** The paper's is 0.9. */
  readonly momentum: number;
}
