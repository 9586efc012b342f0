// Targeted fields (RFC 9213) in the form of the suite's tests: the package has none, and the newer versions have none of
// the field that is this cache's own.
const kept = (id, name, headers, kind = 'required') => ({
  id: `targeted-${id}`,
  name,
  kind,
  requests: [
    { response_headers: headers.map(([field, value]) => [field, value, false]), setup: true, pause_after: true },
    { expected_type: 'cached' }
  ]
})

const notKept = (...given) => {
  const test = kept(...given)
  test.requests[1].expected_type = 'not_cached'
  return test
}

export default {
  name: 'Targeted fields',
  id: 'targeted',
  tests: [
    kept('max-age', '`CDN-Cache-Control: max-age` is a lifetime', [['CDN-Cache-Control', 'max-age=3600']]),
    kept('over-no-store', 'a targeted field goes before `Cache-Control: no-store`', [
      ['Cache-Control', 'no-store'],
      ['CDN-Cache-Control', 'max-age=3600']
    ]),
    kept('over-expires', 'a targeted field goes before `Expires`', [
      ['Expires', 'Thu, 01 Jan 1970 00:00:00 GMT'],
      ['CDN-Cache-Control', 'max-age=3600']
    ]),
    notKept('no-store', 'a targeted `no-store` goes before `Cache-Control: max-age`', [
      ['Cache-Control', 'max-age=3600'],
      ['CDN-Cache-Control', 'no-store']
    ]),
    notKept('private', 'a targeted `private` goes before `Cache-Control: max-age`', [
      ['Cache-Control', 'max-age=3600'],
      ['CDN-Cache-Control', 'private']
    ]),
    notKept('short', 'a short targeted lifetime goes before a long one', [
      ['Cache-Control', 'max-age=3600'],
      ['CDN-Cache-Control', 'max-age=1']
    ]),
    notKept('no-lifetime', 'with a targeted field that has no lifetime, `Cache-Control` has none either', [
      ['Cache-Control', 'max-age=3600'],
      ['CDN-Cache-Control', 'must-revalidate']
    ]),
    kept('empty', 'an empty targeted field counts as not there', [
      ['Cache-Control', 'max-age=3600'],
      ['CDN-Cache-Control', '']
    ]),
    kept('malformed', 'a targeted field that is no dictionary counts as not there', [
      ['Cache-Control', 'max-age=3600'],
      ['CDN-Cache-Control', 'max-age=1, &']
    ]),
    kept('wrong-type', 'a targeted lifetime that is no integer counts as not there', [
      ['Cache-Control', 'max-age=3600'],
      ['CDN-Cache-Control', 'max-age="1"']
    ]),
    kept('own-first', "this cache's own field goes before the one for all CDNs", [
      ['CDN-Cache-Control', 'no-store'],
      ['Freshwire-Cache-Control', 'max-age=3600']
    ]),
    notKept('others', 'a field that is for another cache says nothing', [
      ['Other-CDN-Cache-Control', 'max-age=3600']
    ])
  ]
}
