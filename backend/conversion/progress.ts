/** How far a conversion is. */
export type Progress = {
  readonly doneBytes: number
  readonly totalBytes: number
  /** Of `doneBytes`, what an earlier conversion has done that did not end. */
  readonly resumedBytes?: number
}
