/** A backend is not let in. The message is for its operator, and tells no secret. */
export class LoginRefused extends Error {
  override readonly name = 'LoginRefused'
}
