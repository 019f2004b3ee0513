"""Routes that part by a header keep apart what they store, though the URL is the same."""


def test_another_routes_answer_is_another_answer(origins, forebay):
    o1, o2 = origins("o1"), origins("o2")
    o1.on("GET /page").reply(200, "for everybody", cache_control="max-age=60")
    o2.on("GET /page").reply(200, "for those who try it", cache_control="max-age=60")
    w1 = forebay("""
        routes:
          - match: {path: /**, headers: {X-Beta: "1"}}
            upstream: beta
          - match: /**
            upstream: app
    """, app=o1, beta=o2)

    w1.get("/page", x_beta="1").expect(200, "for those who try it", x_cache_status="MISS")
    w1.get("/page").expect(200, "for everybody", x_cache_status="MISS")
    w1.get("/page", x_beta="1").expect(200, "for those who try it", x_cache_status="HIT")
    w1.get("/page").expect(200, "for everybody", x_cache_status="HIT")
