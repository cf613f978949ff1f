import { expect, test } from 'vitest'
import { Credential } from '../../../gateway/auth/credential.ts'
import { requestHeadersFor } from '../../../gateway/services/visitor-headers.ts'

const passed = (rawHeaders: string[]) =>
  requestHeadersFor({ rawHeaders, headers: {} } as never, {
    origin: new URL('http://notebook.test'),
    address: undefined,
  }).get('authorization')

test('no secret of the gateway passes in Authorization, in whatever form it was written', () => {
  const grant = Credential.generate('serviceGrant').reveal()
  const key = Credential.generate('apiKey').reveal()
  const forms = [
    [`Bearer ${grant}`],
    [grant],
    ['Basic YTpi', `Bearer ${grant}`],
    [`bearer  ${key}`],
  ]
  for (const form of forms) {
    expect(passed(form.flatMap((value) => ['Authorization', value]))).toBe(null)
  }
  expect(passed(['Authorization', 'Basic YTpi'])).toBe('Basic YTpi')
})
