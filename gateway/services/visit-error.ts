/** Why a visitor is not, or no longer, let through. */
export class VisitError extends Error {
  readonly status: number

  /** @param message for the visitor */
  constructor(status: number, message: string, cause?: unknown) {
    super(message, { cause })
    this.status = status
  }
}
