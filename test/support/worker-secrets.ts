/** The secrets of the Worker under test. */
export const testPepper = 'ab'.repeat(32)
export const testAdminToken = 'admin-token-of-the-worker-under-test'
