/*
 * jwt_samples.h - tokens made with another implementation (hashlib and hmac of Python) for the secret "secreto", and
 * one with a key of 200 bytes "k".
 */
#ifndef HZ_TESTS_JWT_SAMPLES_H
#define HZ_TESTS_JWT_SAMPLES_H

#define JWT_HS256                                                                                                      \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbmEiLCJleHAiOjQxMDI0NDQ4MDAsIm5iZiI6MX0.A9YgKTlnGN7"             \
    "la05hBxKdJUFbJhp6tPx6jq0w6XaxHLY"
#define JWT_HS384                                                                                                      \
    "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbmEiLCJleHAiOjQxMDI0NDQ4MDAsIm5iZiI6MX0.S6bR-TUUiM9"             \
    "GozoDR_2FxGizOz5YCiPN9IjsRc8KnDqz_yP8BZvXnz9jf0aqHqen"
#define JWT_HS512                                                                                                      \
    "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbmEiLCJleHAiOjQxMDI0NDQ4MDAsIm5iZiI6MX0.p_-_M4VnQmK"             \
    "TbXfJAvbIyhtN3E7Fnwjixm9tH8al4WSBuI0IjlgTnkG7VP1-q2cVRSQdfyId_QsuJt0oTjiZXA"
#define JWT_HS384_LONG_KEY                                                                                             \
    "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbmEiLCJleHAiOjQxMDI0NDQ4MDAsIm5iZiI6MX0.5Pgn3Bfwpdh"             \
    "Puy1CnR5cIapwyV2_XKPE7tGw5_d5T_sUl9KPCeU4GwmZL_Cwt042"
#define JWT_EXPIRED                                                                                                    \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbmEiLCJleHAiOjEwMDB9.Y08KhB-UuAtvaUi759XpRMCsQ6AOGX"             \
    "2XAU4gushP4TE"
#define JWT_NOT_YET                                                                                                    \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbmEiLCJuYmYiOjQxMDI0NDQ4MDB9.S4qdJcfj7FNe5OmsHLR4he"             \
    "JzEQdTaaQUlEh_Gvk97N0"
#define JWT_EXP_TEXT                                                                                                   \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbmEiLCJleHAiOiI0MTAyNDQ0ODAwIn0.W0soaeARdSXkAu9IyXs"             \
    "VUt7fhWlWar7hNGhWM744JU4"
#define JWT_NONE "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhbmEiLCJleHAiOjQxMDI0NDQ4MDAsIm5iZiI6MX0."
#define JWT_CRIT                                                                                                       \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImNyaXQiOlsieCJdfQ.eyJzdWIiOiJhbmEiLCJleHAiOjQxMDI0NDQ4MDAsIm5iZ"             \
    "iI6MX0.3ocOyLmfdWYWOb97c7r7wBUpZbp3-KlmMmBdIciPs2w"
#define JWT_LIST "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.WzFd.Fb4_fQ_TsD_0VjOKGVzVwVIPc74Phd-FYh5Q_Kus7Ss"

#endif
