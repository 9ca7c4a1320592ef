/* The model library that a client of a Panda downloads (the functions of libfranka 0.9's libfcimodels.h).
   `links` and `flange_m` are written before this text by model_library.py. Matrices are column-major. */

#include <math.h>
#include <string.h>

typedef struct { double r[9], p[3]; } pose_t; /* rotation row-major, position in the base frame */

static void mul(const double a[9], const double b[9], double out[9]) {
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) out[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
}
static void turn(const double r[9], const double v[3], double out[3]) {
  for (int i = 0; i < 3; i++) out[i] = r[3 * i] * v[0] + r[3 * i + 1] * v[1] + r[3 * i + 2] * v[2];
}
static void cross(const double a[3], const double b[3], double out[3]) {
  out[0] = a[1] * b[2] - a[2] * b[1];
  out[1] = a[2] * b[0] - a[0] * b[2];
  out[2] = a[0] * b[1] - a[1] * b[0];
}
static void place(const pose_t *parent, const double r[9], const double p[3], pose_t *out) {
  pose_t at;
  mul(parent->r, r, at.r);
  turn(parent->r, p, at.p);
  for (int i = 0; i < 3; i++) at.p[i] += parent->p[i];
  *out = at;
}

/* frames: the seven links, the flange, the end effector (only with F_T_EE). */
static void frames(const double *q, const double *F_T_EE, pose_t f[9]) {
  static const double unit[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  pose_t at = {{1, 0, 0, 0, 1, 0, 0, 0, 1}, {0, 0, 0}};
  for (int i = 0; i < 7; i++) {
    const double angle = q ? q[i] : 0, c = cos(angle), s = sin(angle), spin[9] = {c, -s, 0, s, c, 0, 0, 0, 1}, zero[3] = {0};
    place(&at, links[i].r, links[i].p, &at);
    place(&at, spin, zero, &at);
    f[i] = at;
  }
  const double flange[3] = {0, 0, flange_m};
  place(&f[6], unit, flange, &f[7]);
  if (F_T_EE) {
    double r[9];
    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 3; j++) r[3 * i + j] = F_T_EE[4 * j + i];
    place(&f[7], r, F_T_EE + 12, &f[8]);
  }
}
static void pose(const double *q, const double *F_T_EE, int frame, double out[16]) {
  pose_t f[9];
  frames(q, F_T_EE, f);
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < 3; j++) out[4 * j + i] = f[frame].r[3 * i + j];
    out[12 + i] = f[frame].p[i];
    out[4 * i + 3] = 0;
  }
  out[15] = 1;
}
static void jacobian(const double *q, const double *F_T_EE, int frame, int body, double out[42]) {
  pose_t f[9];
  frames(q, F_T_EE, f);
  memset(out, 0, 42 * sizeof(double));
  for (int j = 0; j < 7 && j <= frame; j++) {
    const double z[3] = {f[j].r[2], f[j].r[5], f[j].r[8]};
    double arm[3], column[6];
    for (int i = 0; i < 3; i++) arm[i] = f[frame].p[i] - f[j].p[i], column[3 + i] = z[i];
    cross(z, arm, column);
    for (int i = 0; i < 3; i++)
      for (int part = 0; part < 6; part += 3) {
        const double *v = column + part, *r = f[frame].r;
        out[6 * j + part + i] = body ? r[i] * v[0] + r[3 + i] * v[1] + r[6 + i] * v[2] : v[i];
      }
  }
}

typedef struct { double m; const double *com, *inertia; } load_t;

/* Newton-Euler in the base frame: the torques that the motion takes where the base accelerates with a0. */
static void newton_euler(const double *q, const double *dq, const double *ddq, const double a0[3], const load_t *load,
                         double tau[7]) {
  pose_t f[9];
  double w[3] = {0}, dw[3] = {0}, a[3] = {a0[0], a0[1], a0[2]}, before[3] = {0}, force[7][3], moment[7][3];
  frames(q, 0, f);
  for (int i = 0; i < 7; i++) {
    const double z[3] = {f[i].r[2], f[i].r[5], f[i].r[8]};
    double step[3], t[3], u[3];
    for (int k = 0; k < 3; k++) step[k] = f[i].p[k] - before[k], before[k] = f[i].p[k];
    cross(w, step, t), cross(w, t, u), cross(dw, step, t);
    for (int k = 0; k < 3; k++) a[k] += t[k] + u[k];
    cross(w, z, t);
    for (int k = 0; k < 3; k++) dw[k] += z[k] * (ddq ? ddq[i] : 0) + t[k] * (dq ? dq[i] : 0), w[k] += z[k] * (dq ? dq[i] : 0);
    memset(force[i], 0, sizeof force[i]), memset(moment[i], 0, sizeof moment[i]);
    for (int part = 0; part < 1 + (i == 6 && load->m > 0); part++) { /* the link, then what hangs at the flange */
      double at[3] = {0, 0, 0}, com[3], acc[3], m = part ? load->m : links[i].m, spin[9], inertia[9], back[9], lw[3];
      const double *local = part ? load->com : links[i].com;
      for (int k = 0; k < 3; k++) at[k] = local[k];
      if (part) at[2] += flange_m;
      turn(f[i].r, at, com);
      cross(w, com, t), cross(w, t, u), cross(dw, com, t);
      for (int k = 0; k < 3; k++) acc[k] = m * (a[k] + t[k] + u[k]), force[i][k] += acc[k];
      cross(com, acc, t);
      mul(f[i].r, part ? load->inertia : links[i].inertia, spin);
      for (int r = 0; r < 3; r++)
        for (int c = 0; c < 3; c++) back[3 * r + c] = f[i].r[3 * c + r];
      mul(spin, back, inertia);
      turn(inertia, w, lw), cross(w, lw, u), turn(inertia, dw, lw);
      for (int k = 0; k < 3; k++) moment[i][k] += t[k] + u[k] + lw[k];
    }
  }
  for (int i = 6; i >= 0; i--) {
    tau[i] = f[i].r[2] * moment[i][0] + f[i].r[5] * moment[i][1] + f[i].r[8] * moment[i][2];
    if (i) {
      double arm[3], t[3];
      for (int k = 0; k < 3; k++) arm[k] = f[i].p[k] - f[i - 1].p[k];
      cross(arm, force[i], t);
      for (int k = 0; k < 3; k++) force[i - 1][k] += force[i][k], moment[i - 1][k] += moment[i][k] + t[k];
    }
  }
}

static const double nothing[9] = {0};

void M_NE(const double q[7], const double I_load[9], double m_load, const double F_x_Cload[3], double out[49]) {
  const load_t load = {m_load, F_x_Cload, I_load};
  for (int j = 0; j < 7; j++) {
    double ddq[7] = {0};
    ddq[j] = 1;
    newton_euler(q, 0, ddq, nothing, &load, out + 7 * j);
  }
}
void c_NE(const double q[7], const double dq[7], const double I_load[9], double m_load, const double F_x_Cload[3],
          double out[7]) {
  const load_t load = {m_load, F_x_Cload, I_load};
  newton_euler(q, dq, 0, nothing, &load, out);
}
void g_NE(const double q[7], const double g_earth[3], double m_load, const double F_x_Cload[3], double out[7]) {
  const load_t load = {m_load, F_x_Cload, nothing};
  const double up[3] = {-g_earth[0], -g_earth[1], -g_earth[2]};
  newton_euler(q, 0, 0, up, &load, out);
}

void O_J_J1(double out[42]) { jacobian(0, 0, 0, 0, out); }
void Ji_J_J1(double out[42]) { jacobian(0, 0, 0, 1, out); }
void O_T_J1(const double q[7], double out[16]) { pose(q, 0, 0, out); }
#define JOINT(n)                                                                     \
  void O_T_J##n(const double q[7], double out[16]) { pose(q, 0, n - 1, out); }        \
  void O_J_J##n(const double q[7], double out[42]) { jacobian(q, 0, n - 1, 0, out); } \
  void Ji_J_J##n(const double q[7], double out[42]) { jacobian(q, 0, n - 1, 1, out); }
JOINT(2) JOINT(3) JOINT(4) JOINT(5) JOINT(6) JOINT(7) JOINT(8)
void O_T_J9(const double q[7], const double F_T_EE[16], double out[16]) { pose(q, F_T_EE, 8, out); }
void O_J_J9(const double q[7], const double F_T_EE[16], double out[42]) { jacobian(q, F_T_EE, 8, 0, out); }
void Ji_J_J9(const double q[7], const double F_T_EE[16], double out[42]) { jacobian(q, F_T_EE, 8, 1, out); }
